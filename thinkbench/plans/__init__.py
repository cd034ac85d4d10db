"""Plans in words: pictures and instructions with the sub-goals that follow, and the judge of answers to them.

`examples` makes questions of episodes, `making` a set of them (``harness plans``; `harness.plans` defines the format).
`judge` says whether an answer's sub-goals can be executed and reach the goal (`reading` reads those in ordinary words),
`attention` whether it looked where the things are that it named, and `verdicts` counts both (``harness check-plans``).
"""
