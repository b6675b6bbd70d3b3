"""The champion's configuration trained on new data, and promoted where it is no worse."""
