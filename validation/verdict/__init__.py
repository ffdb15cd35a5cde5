"""Criteria, their tolerances, and what stands over results."""
