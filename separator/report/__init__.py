"""Make the page that people look at: a static site of a finished output. Knows no Ray."""
