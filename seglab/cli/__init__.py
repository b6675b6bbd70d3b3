"""The command line: parse, compose, call. Heavy packages are imported inside the commands."""
