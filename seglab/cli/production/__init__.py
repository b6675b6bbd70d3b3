"""Commands of production: export, predict, serve, registry, retrain."""
