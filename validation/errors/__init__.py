"""How far a record is from the referee, and where."""
