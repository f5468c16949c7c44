"""The proxy attention written from the equations with loops, in float64: slow, but easy to compare line by line.

Nothing here calls the package. Tensors are read element by element where the equation has an index.
"""

import math

import torch
from torch import Tensor


def cosine(a: Tensor, b: Tensor) -> float:
    """a . b / (|a| |b|), with 0 for a zero vector."""
    lengths = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return float(a @ b) / lengths if lengths > 0 else 0.0


def similarity_matrix(rows: Tensor, columns: Tensor, measure: str = "cosine") -> list[list[float]]:
    """S[i][j] for vectors (N, C): cosine, or dot product over the square root of the width."""
    def between(a: Tensor, b: Tensor) -> float:
        return cosine(a, b) if measure == "cosine" else float(a @ b) / math.sqrt(len(a))

    return [[between(a, b) for b in columns] for a in rows]


def adaptive_scores(similarity: list[list[float]], beta: float, gamma: float) -> list[list[float]]:
    """A = gamma (S - beta mean(S)), -inf where A < 0 (supplement, section B)."""
    entries = [entry for row in similarity for entry in row]
    mean = sum(entries) / len(entries)
    scores = [[gamma * (entry - beta * mean) for entry in row] for row in similarity]
    return [[score if score >= 0 else -math.inf for score in row] for row in scores]


def hard_scores(similarity: list[list[float]], alpha: float) -> list[list[float]]:
    """S + M with M = 0 where S >= alpha and -inf elsewhere (supplement, Eq. 1)."""
    return [[entry if entry >= alpha else -math.inf for entry in row] for row in similarity]


def softmax_rows(scores: list[list[float]], similarity: list[list[float]]) -> list[list[float]]:
    """Softmax of each row; a row with nothing left keeps its largest similarities."""
    weights = []
    for row, original in zip(scores, similarity, strict=True):
        if all(score == -math.inf for score in row):
            row = [0.0 if entry == max(original) else -math.inf for entry in original]
        largest = max(row)
        exponentials = [math.exp(score - largest) for score in row]
        weights.append([value / sum(exponentials) for value in exponentials])
    return weights


def average(weights: list[list[float]], values: Tensor) -> Tensor:
    """P v, one output vector at a time."""
    return torch.stack([sum(weight * value for weight, value in zip(row, values, strict=True)) for row in weights])
