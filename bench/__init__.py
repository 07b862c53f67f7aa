"""Measurements that make bench reports; none of them is a timed test."""
