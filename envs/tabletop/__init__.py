"""ThinkBench's world: a Panda arm at a table with blocks, containers and zones."""
