"""ThinkBench: task templates, the episodes generated from them, and the benchmark that scores them."""
