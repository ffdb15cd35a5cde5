"""What stands on the page of a run: data that its script draws, and words and tables that need no script."""
