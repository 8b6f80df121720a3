"""What the fast preset's rules are for each method."""

from dataclasses import dataclass

USUAL_RATE = 5e-4
"""SOAP's rate for FINER; where a fit has another, the rates of all methods are others by the same factor."""


@dataclass(frozen=True, kw_only=True)
class MethodRules:
    """Hold a method's own rules.

    Attributes:
        matrices: The optimizer's rate where FINER has `USUAL_RATE`.
        rest: Adam's, of what is no matrix: of the biases above all; None for the published one.
        optimizer: Of the matrices, "soap" or "muon".
        large_batches: Whether large batches serve it; its rates are for small ones otherwise, and fail at what larger
            ones bear.
        noiseless: Its rate where every step has all pixels, so that gradients have no noise; None for that of batches.
        short_passes: Passes times the root of the pixels below which Adam, whose steps cost half of SOAP's, gets
            further in the same time, whatever the steps.
    """

    matrices: float = USUAL_RATE
    rest: float | None = None
    optimizer: str = "soap"
    large_batches: bool = False
    noiseless: float | None = None
    short_passes: float = 0.0


METHOD_RULES = {
    "finer": MethodRules(large_batches=True, noiseless=1e-3, short_passes=3000.0),
    "siren": MethodRules(rest=2.5e-4, large_batches=True),
    "gauss": MethodRules(matrices=1.4e-3, rest=2e-4, optimizer="muon"),
    "wire": MethodRules(matrices=1e-3, rest=5e-4),
    "pemlp": MethodRules(matrices=8e-3, rest=4e-3),
    "gauss-finer": MethodRules(matrices=5e-4, rest=1.25e-4),
    "wire-finer": MethodRules(matrices=5e-4, rest=2.5e-4),
    "real-wire": MethodRules(matrices=2e-3, rest=5e-4),
    "real-wire-finer": MethodRules(matrices=1e-3, rest=2.5e-4),
    "ff": MethodRules(matrices=4e-3, rest=2e-3),
    "bacon": MethodRules(matrices=2e-3, rest=2e-3),
}
"""By method (docs/budgets.md, docs/studies/lengths.md); 3000 are 23 passes at 128x128, 12 at 256x256."""


def rules_of(method: str) -> MethodRules:
    """Return the rules of a method, the usual ones for one that has none of its own."""
    return METHOD_RULES.get(method, MethodRules())
