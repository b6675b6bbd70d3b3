"""A period of service as one HTML page: traffic, predictions, drift, quality, versions, alerts."""
