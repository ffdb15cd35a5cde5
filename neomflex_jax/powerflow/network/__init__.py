"""The forms a network takes for the methods: per unit, dense or cut into pieces of its tree."""
