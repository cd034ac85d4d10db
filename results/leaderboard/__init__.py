"""The leaderboard: a static site of runs, from their entries alone. `results.leaderboard.build` makes it."""
