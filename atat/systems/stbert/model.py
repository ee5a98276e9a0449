"""ST-BERT with its losses: one of its two tasks at a time (Kim et al. 2021, sections 3.2 and 3.3).

Pretraining: the cross entropies of phonemes and of word pieces, each a mean over what is predicted,
added. A phoneme's target is a label, not the posterior. Intents: that of the class, which a linear
layer tells from the state of [CLS].
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from atat.engine.contract import Term
from atat.engine.plain import weighted
from atat.nn.phoneme_posteriors import PhonemePosteriors
from atat.nn.speech_text_bert import Inputs, SpeechTextBert
from atat.systems.stbert.batch import Batch
from atat.systems.stbert.masking import IGNORED


class StBert(nn.Module):
    """The frozen phoneme module, BERT, and the classifier of a finetuned model.

    Training reads posteriors that were computed before, so that only recordings that are new to the
    model go through `listener`.
    """

    def __init__(self, listener: PhonemePosteriors, network: SpeechTextBert, classes: int) -> None:
        """classes: 0 for pretraining."""
        super().__init__()
        self.listener, self.network = listener, network
        self.classifier = nn.Linear(network.width, classes) if classes else None
        if self.classifier is not None:  # as BERT's own layers
            nn.init.normal_(self.classifier.weight, std=network.bert.config.initializer_range)
            nn.init.zeros_(self.classifier.bias)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses and figures."""
        if self.classifier is not None:
            return "intent", "exact_match"
        return "phonemes", "pieces", "phoneme_accuracy", "piece_accuracy"

    @property
    def counts(self) -> tuple[str, ...]:
        """Names of what they are divided by."""
        return ("intent", "commands") if self.classifier is not None else ("phonemes", "pieces")

    def logits(self, inputs: Inputs) -> Tensor:
        """Speech alone -> the logits of its class (B, classes)."""
        assert self.classifier is not None
        found: Tensor = self.classifier(self.network(inputs).cls)
        return found

    def losses(self, batch: Batch) -> dict[str, Term]:
        """The terms of a batch; see the module."""
        terms = self._of_classes(batch) if self.classifier is not None else self._of_masks(batch)
        return weighted(terms, batch.weight)

    def _of_classes(self, batch: Batch) -> dict[str, Term]:
        logits = self.logits(batch.inputs)
        loss = functional.cross_entropy(
            logits.float(), batch.commands, ignore_index=IGNORED, reduction="sum"
        )
        right = (logits.detach().argmax(1) == batch.commands).sum()
        return {"intent": Term(loss), "exact_match": Term(right, weight=0.0, of="commands")}

    def _of_masks(self, batch: Batch) -> dict[str, Term]:
        states, network = self.network(batch.inputs), self.network
        found = {}
        for name, of_each, targets, head in (
            ("phoneme", states.frames, batch.phoneme_targets, network.phoneme_logits),
            ("piece", states.pieces, batch.piece_targets, network.piece_logits),
        ):
            wanted = targets != IGNORED
            if not bool(wanted.any()):  # the other half is what the step is about
                continue
            logits, chosen = head(of_each[wanted]).float(), targets[wanted]
            loss = functional.cross_entropy(logits, chosen, reduction="sum")
            right = (logits.detach().argmax(1) == chosen).sum()
            found[f"{name}s"] = Term(loss)
            found[f"{name}_accuracy"] = Term(right, weight=0.0, of=f"{name}s")
        return found
