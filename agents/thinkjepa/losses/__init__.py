"""What training minimises: small pure functions, each with its formula and source.

`prediction`: how far predictions are from targets. `regularisers`: what keeps representations from collapsing.
`contrastive`: what ties goals to states. `inverse_dynamics`: what keeps the agent's doing in the representation.
`weights`: how they are added up.
"""
