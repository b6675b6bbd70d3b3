"""What to label next: candidates, how much each would tell, and which are taken."""
