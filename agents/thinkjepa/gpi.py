"""The Goal Projection Interface: a sub-goal in words to a goal in the world model's space (seed, section 4.5).

The seed forms goal tokens as a product, ``g_n = project(e) * w_n``. That cannot work as written: all tokens point the
same way and differ in length only, and a layer normalisation erases lengths: ``LN(c x) = LN(x)``. So every layer of
the refinement sees one and the same token at all places, and without refinement nothing is left of the attention map.
The form also has no positions and no knowledge of the scene that the words speak of.

The default is the repaired form: the attention map enters as an added, learned direction, tokens have positions, and
the current state is given, so that only its change has to be found: ::

    x_n = project(e) + position_n + w_n * relevance + scene(state_n)
    g   = normalise(state + change(LN(transformer(x))))

``change`` starts at zero: before training, the goal is to leave everything as it is. With ``film=True`` the sentence
also modulates every block, and with ``beside=5`` what is within two tokens is added before each, see `Beside`. The
literal form is ``modulation=product, scene=False``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.thinkjepa.blocks import Block, Film, init_weights
from agents.thinkjepa.config import GPIConfig, Normalisation
from agents.thinkjepa.world_model import normalise_state


class GoalProjection(nn.Module):
    """Language projector, spatial modulation and transformer refinement."""

    def __init__(self, config: GPIConfig, *, width: int, tokens: int, normalisation: Normalisation) -> None:
        super().__init__()
        self.config = config
        self.normalisation: Normalisation = normalisation
        self.project = nn.Linear(config.language_dim, width)
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.layers))
        beside = [Beside(width, config.beside) for _ in range(config.layers if config.beside else 0)]
        self.beside = nn.ModuleList(beside)
        self.norm = nn.LayerNorm(width)
        self.scene = nn.Linear(width, width) if config.scene else None
        self.change = nn.Linear(width, width) if config.scene else None
        self.film = nn.Linear(width, 2 * config.layers * width) if config.film else None
        self.apply(init_weights)
        for each in beside:
            each.start()
        if self.change is not None:
            nn.init.zeros_(self.change.weight)
        if config.modulation == "additive":
            self.positions = nn.Parameter(torch.empty(tokens, width))
            self.relevance = nn.Parameter(torch.empty(width))
            nn.init.trunc_normal_(self.positions, std=0.02)
            nn.init.trunc_normal_(self.relevance, std=0.02)
        if config.projection == "random":
            nn.init.normal_(self.project.weight, std=config.language_dim**-0.5)
            self.requires_grad_(False)

    def forward(self, embedding: Tensor, relevance: Tensor, state: Tensor | None = None) -> Tensor:
        """Goal states.

        Args:
            embedding: e, ``(B, D_VLM)``, of the sub-goals' text.
            relevance: w, ``(B, N)`` with mean 1, where the reasoner looks (`relevance.resize`); ones where it did not
                say.
            state: ``(B, N, D)``, the current state; needed with ``scene``, ignored without.

        Returns:
            ``(B, N, D)``, normalised as states are.

        Raises:
            ValueError: The goal depends on the scene and no state was given.
        """
        sentence = self.project(embedding).unsqueeze(1)
        tokens = self._modulate(sentence, relevance.to(embedding.dtype).unsqueeze(-1))
        if self.scene is None or self.change is None:
            return normalise_state(self.norm(self._refine(tokens, sentence)), self.normalisation)
        if state is None:
            raise ValueError("this GPI is conditioned on the scene (gpi.scene=true); give the current state")
        refined = self._refine(tokens + self.scene(state), sentence)
        return normalise_state(state + self.change(self.norm(refined)), self.normalisation)

    def _modulate(self, sentence: Tensor, relevance: Tensor) -> Tensor:
        if self.config.modulation == "product":
            return sentence * relevance
        return sentence + self.positions + relevance * self.relevance

    def _refine(self, tokens: Tensor, sentence: Tensor) -> Tensor:
        films: list[Film | None] = [None] * len(self.blocks)
        if self.film is not None:
            modulation = self.film(functional.gelu(sentence)).unflatten(-1, (len(self.blocks), 2, -1))
            films = [Film(*layer.unbind(2)) for layer in modulation.unbind(2)]
        for number, (block, film) in enumerate(zip(self.blocks, films, strict=True)):
            if self.beside:
                tokens = tokens + self.beside[number](tokens, sentence)
            tokens = block(tokens, film)
        return tokens


class Beside(nn.Module):
    """What is beside each token, on the sides that the sentence speaks of.

    One kernel per channel over the square grid of tokens; the sentence says how much each channel counts.
    """

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.look = nn.Conv2d(width, width, side, padding=side // 2, groups=width)
        self.gate = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def start(self) -> None:
        """Initial weights: nothing is added."""
        nn.init.normal_(self.look.weight, std=1 / self.look.kernel_size[0])
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, tokens: Tensor, sentence: Tensor) -> Tensor:
        """``(B, N, D)`` and ``(B, 1, D)`` to what is added, ``(B, N, D)``."""
        side = round(tokens.shape[1] ** 0.5)
        seen = self.look(self.norm(tokens).mT.unflatten(-1, (side, side))).flatten(2).mT
        return self.out(seen * (1 + self.gate(functional.gelu(sentence))))  # type: ignore[no-any-return]
