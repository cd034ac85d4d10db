"""What training minimises: small pure functions, each with its formula and source.

`prediction`: how far predictions are from targets. `regularisers`: what keeps representations from collapsing.
`contrastive`: what ties goals to states. `readouts`: what must be readable from states. `weights`: how they are added
up.
"""
