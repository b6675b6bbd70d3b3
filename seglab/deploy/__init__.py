"""From a trained model into production: export, predict."""
