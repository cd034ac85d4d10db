"""From run stores to what evaluators read: statistics, tables and reports."""
