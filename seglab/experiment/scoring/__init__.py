"""What trained weights score, and the tables and figures that say so."""
