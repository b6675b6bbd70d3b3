"""The log of requests: one row an image, in Parquet files that are whole or absent."""
