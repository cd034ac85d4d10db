"""Tests of Language-Table."""
