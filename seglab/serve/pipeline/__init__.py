"""From bytes to masks: what is read, batched, predicted, and put in the forms of an answer."""
