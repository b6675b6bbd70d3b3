"""The scene itself: road, fields, houses, trees, vehicles and poles by day and by night, as pixels."""
