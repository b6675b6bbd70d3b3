"""What is done about findings: decisions make a new version of the manifest, and nothing is deleted."""
