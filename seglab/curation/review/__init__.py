"""Looking at masks: random review samples with a stated confidence, review sheets, instructions."""
