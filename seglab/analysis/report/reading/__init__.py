"""From the files of run records to the values of a report."""
