"""Between a queue and annotation tools: masks proposed, masks corrected, and what they say."""
