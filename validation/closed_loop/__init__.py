"""The policy acts again, on the referee's answers."""
