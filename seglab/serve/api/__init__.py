"""The service's HTTP interface: what is read, what is answered, and the page."""
