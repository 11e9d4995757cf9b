"""What a newcomer sees first: a small table, one sentence on how to read it, and a picture of the genres."""

from __future__ import annotations

from dataclasses import dataclass

from tabulate import tabulate

from recbole_decm.report.html import render

COLOURS = ("#1f5a94", "#c8553d", "#3a7d44", "#8e5ea2", "#d19a1f", "#2a9d9d", "#a23b6a", "#6b705c")


@dataclass(frozen=True)
class Look:
    """One model's lists for videos whose choices are not confounded.

    Attributes:
        ndcg, recall: at the cut-off; 1 is best.
        shares: (K,) share of the entries that belongs to each genre.
    """

    model: str
    ndcg: float
    recall: float
    shares: tuple[float, ...]


@dataclass(frozen=True)
class FirstLook:
    """Several models beside the truth.

    Attributes:
        k: length of the lists; genres: names of the K genres.
        truth: (K,) shares of the genres among the true choices without confounding.
    """

    dataset: str
    k: int
    genres: tuple[str, ...]
    truth: tuple[float, ...]
    looks: tuple[Look, ...]

    @property
    def largest(self) -> int:
        """The genre that most lists hold too much of: the largest of what the models recommend."""
        return max(range(len(self.truth)), key=lambda genre: sum(look.shares[genre] for look in self.looks))

    def table(self) -> str:
        """One line per model, and the true choices, as text."""
        genre = self.largest
        rows = [
            [look.model, f"{look.ndcg:.3f}", f"{look.recall:.3f}", f"{look.shares[genre]:.0%}"] for look in self.looks
        ]
        rows.append(["true choices", "", "", f"{self.truth[genre]:.0%}"])
        head = ["model", f"NDCG@{self.k}", f"Recall@{self.k}", f"share of genre {self.genres[genre]}"]
        return tabulate(rows, headers=head, disable_numparse=True, colalign=("left", "right", "right", "right"))

    def sentence(self) -> str:
        """How to read the table."""
        return (
            "How to read it: NDCG and Recall count how often a list holds the track that is chosen when no uploader's "
            f"habit plays a part (higher is better); the last column is how much of the lists is {self.name}, which "
            "should be as much as of the true choices, not more."
        )

    @property
    def name(self) -> str:
        """The largest genre in words."""
        return f"genre {self.genres[self.largest]}"

    def page(self) -> str:
        """A page of a few kilobytes that needs nothing beside itself: the genres of every model's lists as bars."""
        rows = [("true choices", self.truth), *((look.model, look.shares) for look in self.looks)]
        colours = [COLOURS[i % len(COLOURS)] for i in range(len(self.genres))]
        return render("first_look.html.j2", look=self, rows=rows, colours=colours)
