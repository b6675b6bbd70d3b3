"""The sections of a report, each a view of values that its template shows."""
