"""What a plan cannot do without: proof by visiting every state that straight moves reach."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from thinkbench.literals import Goal
from thinkbench.suite import InsightProof
from thinkbench.symbolic import Domain, Move, SymbolicState, holds, satisfied


def straight_moves(domain: Domain, state: SymbolicState, goal: Goal) -> Iterator[Move]:
    """The legal moves that make a literal of ``goal`` true of what they move: none clears, and none uses a buffer."""
    for move in domain.moves(state):
        after = domain.apply(state, move)
        own = (literal for literal in goal if literal.args[0] == move.item)
        if any(holds(domain, after, literal) and not holds(domain, state, literal) for literal in own):
            yield move


def prove(domain: Domain, start: SymbolicState, goal: Goal, claim: str) -> InsightProof:
    """Visit every state that `straight_moves` reach, in breadth; see `InsightProof`."""
    trails: dict[SymbolicState, tuple[Move, ...]] = {start: ()}
    queue = deque([start])
    reaches_goal, dead_end = False, None
    while queue:
        state = queue.popleft()
        moves = list(straight_moves(domain, state, goal))
        done = satisfied(domain, state, goal)
        reaches_goal |= done
        if not moves and not done and dead_end is None:
            dead_end = tuple((move.item, move.destination) for move in trails[state])
        for move in moves:
            successor = domain.apply(state, move)
            if successor not in trails:
                trails[successor] = (*trails[state], move)
                queue.append(successor)
    return InsightProof(claim, len(trails), reaches_goal, dead_end)


def holds_claim(proof: InsightProof) -> bool:
    """Whether the proof shows what the template claims.

    ``clearing`` and ``buffer``: straight moves never reach the goal. ``order``: in a wrong order they end where no
    straight move is left.
    """
    match proof.claim:
        case "clearing" | "buffer":
            return not proof.reaches_goal
        case "order":
            return proof.dead_end is not None
    return True
