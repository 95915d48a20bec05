"""A Gaussian copula of patches: what some of them say of the others, in nats, scored on images it was not fitted to.

Information does not change when a variable is replaced by a monotone function of itself; so each is brought to
normal scores first, and the correlations of these are all that is fitted (Ince et al. 2017, "A statistical framework
for neuroimaging data analysis based on mutual information estimated via a Gaussian copula").
"""

from __future__ import annotations

import torch
from torch import Tensor


def principal_components(patches: Tensor, half: int, count: int) -> Tensor:
    """Patches (n, N, P) -> their first principal components (n, N, d), one basis for all places."""
    centred = patches - patches[:half].mean(dim=0)
    flat = centred[:half].flatten(0, 1)
    basis = torch.linalg.eigh(flat.T @ flat).eigenvectors.flip(1)[:, : min(count, patches.shape[2])]
    return centred @ basis


def normal_scores(values: Tensor, half: int) -> Tensor:
    """Values (n, ...) -> standard normal by their rank among the first half, place by place."""
    flat = values.flatten(1).T.contiguous()  # (places, n)
    known = flat[:, :half].sort(dim=1).values
    below, upto = (torch.searchsorted(known, flat, right=right) for right in (False, True))
    rank = (below + upto + 1) / 2
    return torch.special.ndtri(rank.double() / (half + 1)).T.view(values.shape)


def shrunk_correlation(scores: Tensor) -> Tensor:
    """Correlation of (n, p), shrunk towards the identity (oracle approximating: Chen et al. 2010, eq. 23)."""
    n, p = scores.shape
    correlation = torch.corrcoef(scores.T).nan_to_num(0.0).fill_diagonal_(1.0)  # a component that is constant
    squares, trace = correlation.square().sum(), float(p)
    share = ((1 - 2 / p) * squares + trace**2) / ((n + 1 - 2 / p) * (squares - trace**2 / p)).clamp(min=1e-12)
    share = share.clamp(max=1)
    return (1 - share) * correlation + share * torch.eye(p, dtype=scores.dtype)


def log_score_gain(scores: Tensor, correlation: Tensor, hidden: Tensor) -> Tensor:
    """Log score of hidden patches given the visible ones less that given nothing: mean per image, (n,).

    Scores (n, N, d), correlation (N·d, N·d), hidden (N,) bool.
    """
    n, _, d = scores.shape
    is_hidden = hidden.repeat_interleave(d)
    visible, joint = correlation[~is_hidden][:, ~is_hidden], correlation[is_hidden]
    weights = torch.cholesky_solve(joint[:, ~is_hidden].T, torch.linalg.cholesky(visible))  # (visible, hidden)
    prior = joint[:, is_hidden]
    posterior = prior - joint[:, ~is_hidden] @ weights
    flat = scores.flatten(1)
    truth = flat[:, is_hidden]
    error = truth - flat[:, ~is_hidden] @ weights
    surprise = [
        _negative_log(x.view(n, -1, d), _diagonal_blocks(covariance, d))
        for x, covariance in ((truth, prior), (error, posterior))
    ]
    return (surprise[0] - surprise[1]).mean(dim=1)


def _diagonal_blocks(matrix: Tensor, size: int) -> Tensor:
    """(m · size, m · size) -> its m blocks on the diagonal (m, size, size)."""
    blocks = matrix.unflatten(0, (-1, size)).unflatten(2, (-1, size))
    return blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1)


def _negative_log(x: Tensor, covariance: Tensor) -> Tensor:
    """−log N(x; 0, covariance) of x (n, m, d), covariance (m, d, d) -> (n, m), without the constant."""
    factor = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(factor, x.permute(1, 2, 0), upper=False)  # (m, d, n)
    log_determinant = factor.diagonal(dim1=1, dim2=2).log().sum(dim=1)  # half of it
    return 0.5 * whitened.square().sum(dim=1).T + log_determinant
