"""Text for people and machines: terminal, shell, HTML, Markdown, CSV."""
