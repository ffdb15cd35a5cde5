"""One module a method: from injections to voltages, and what they have in common."""
