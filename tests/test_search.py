"""Laws of the search, on distributions made up and on a real decoder; well-formed decoding."""

from __future__ import annotations

import itertools

import pytest
import tiny
import torch

from atat.base.errors import InputError
from atat.nn.beam_search import SearchOptions, beam_search
from atat.systems.joint.generate import generate
from atat.systems.joint.model import build_model
from atat.text import trees
from atat.text.constraint import ROOT, TreeConstraint, WordConstraint, pairs_of
from atat.text.slot_values import SlotValues, of_trees

EOS = 1


class TableScorer:
    """Logits that depend on the whole prefix: a fixed random function of it."""

    def __init__(self, utterances: int, beam: int, vocabulary: int = 6, seed: int = 0) -> None:
        self.vocabulary, self.beam, self.seed = vocabulary, beam, seed
        self.prefixes = [(utterance,) for utterance in range(utterances) for _ in range(beam)]
        self.pending: list[tuple[int, ...]] = []

    def step(self, tokens):
        self.prefixes = [(*p, int(t)) for p, t in zip(self.prefixes, tokens)]
        return torch.stack([self.logits(prefix) for prefix in self.prefixes])

    def logits(self, prefix):
        generator = torch.Generator().manual_seed(hash((self.seed, *prefix)) % 2**31)
        return 2 * torch.randn(self.vocabulary, generator=generator)

    def reorder(self, hypotheses):
        self.prefixes = [self.prefixes[int(i)] for i in hypotheses]

    def keep(self, utterances):
        self.prefixes = [
            p
            for u in utterances
            for p in self.prefixes[int(u) * self.beam : (int(u) + 1) * self.beam]
        ]


def search(utterances: int, beam: int, *, seed: int = 0, **options):
    scorer = TableScorer(utterances, beam, seed=seed)
    start = torch.full((utterances,), 2)
    return beam_search(scorer, start, EOS, SearchOptions(beam=beam, nbest=beam, **options))


def greedy(utterance: int, seed: int, limit: int):
    scorer = TableScorer(1, 1, seed=seed)
    prefix, tokens, total = (utterance, 2), [], 0.0
    for length in range(1, limit + 1):
        log_probs = scorer.logits(prefix).log_softmax(-1)
        token = EOS if length == limit else int(log_probs.argmax())
        total += float(log_probs[token])
        if token == EOS:
            break
        tokens.append(token)
        prefix = (*prefix, token)
    return tuple(tokens), total


@pytest.mark.parametrize("seed", range(5))
def test_beam_one_is_greedy(seed):
    found = search(4, 1, seed=seed, max_length=8)
    for utterance, hypotheses in enumerate(found):
        tokens, log_prob = greedy(utterance, seed, 8)
        assert hypotheses[0].tokens == tokens
        assert hypotheses[0].log_prob == pytest.approx(log_prob, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_as_wide_as_all_prefixes_finds_the_best_sequence(seed):
    limit, vocabulary = 4, 4
    scorer = TableScorer(1, 64, vocabulary=vocabulary, seed=seed)
    options = SearchOptions(beam=64, max_length=limit, nbest=1, length_exponent=0.0)
    found = beam_search(scorer, torch.tensor([2]), EOS, options)[0][0]
    best = max(
        (total(scorer, tokens), tokens)
        for length in range(limit)
        for tokens in itertools.product([0, 2, 3], repeat=length)
    )
    assert found.tokens == best[1]
    assert found.log_prob == pytest.approx(best[0], abs=1e-4)


def total(scorer: TableScorer, tokens: tuple[int, ...]) -> float:
    prefix, value = (0, 2), 0.0
    for token in (*tokens, EOS):
        value += float(scorer.logits(prefix).log_softmax(-1)[token])
        prefix = (*prefix, token)
    return value


@pytest.mark.parametrize("beam", [1, 3, 4])
def test_batched_equals_one_by_one(beam):
    together = search(7, beam, max_length=10)
    for utterance in range(7):
        scorer = TableScorer(1, beam)
        scorer.prefixes = [(utterance,)] * beam
        options = SearchOptions(beam=beam, nbest=beam, max_length=10)
        assert beam_search(scorer, torch.tensor([2]), EOS, options)[0] == together[utterance]


def test_nbest_is_sorted_distinct_and_scores_are_log_probabilities():
    for hypotheses in search(5, 4, max_length=9):
        scores = [h.score for h in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({h.tokens for h in hypotheses}) == len(hypotheses)
        for h in hypotheses:
            assert h.score == pytest.approx(h.log_prob / (len(h.tokens) + 1))


@pytest.mark.parametrize(
    "options", [{"beam": 0}, {"nbest": 0}, {"max_length": 0}, {"extra_length": 2}]
)
def test_options_with_which_nothing_can_be_found_are_refused(options):
    [(name, value)] = options.items()
    with pytest.raises(InputError, match=f"{name} is {value}; expected at least"):
        SearchOptions(**options)


class ChainScorer:
    """After a good first token comes a long certain way; the other way ends at once, and badly."""

    def __init__(self) -> None:
        self.prefixes = [(2,), (2,)]

    def step(self, tokens):
        self.prefixes = [(*p, int(t)) for p, t in zip(self.prefixes, tokens)]
        return torch.stack([self.probs(prefix[2:]).log() for prefix in self.prefixes])

    def probs(self, prefix):
        if not prefix:
            return torch.tensor([0.9, 1e-4, 1e-4, 0.1, 1e-4])
        if prefix[0] == 0 and len(prefix) < 6:
            return torch.tensor([1.0, 1e-9, 1e-9, 1e-9, 1e-9])
        return torch.tensor([1e-6, 0.5, 1e-6, 0.5, 1e-6])

    def reorder(self, hypotheses):
        self.prefixes = [self.prefixes[int(i)] for i in hypotheses]

    def keep(self, utterances):
        pass


def test_poor_ends_do_not_end_the_search_before_a_better_one_can():
    options = SearchOptions(beam=2, max_length=20)
    [[best]] = beam_search(ChainScorer(), torch.tensor([2]), EOS, options)
    assert best.tokens[:6] == (0,) * 6


def test_limits_hold_for_each_utterance():
    scorer = TableScorer(3, 2)
    found = beam_search(
        scorer, torch.full((3,), 2), EOS, SearchOptions(beam=2, nbest=2), limits=[1, 3, 6]
    )
    for limit, hypotheses in zip([1, 3, 6], found):
        assert hypotheses and all(len(h.tokens) < limit for h in hypotheses)
        assert all(h.at_limit == (len(h.tokens) + 1 == limit) for h in hypotheses)
    assert all(h.at_limit for h in found[0])


@pytest.mark.parametrize("audio", [True, False])
@pytest.mark.parametrize("beam", [1, 4])
def test_a_models_batch_is_decoded_as_one_by_one(audio, beam):
    torch.manual_seed(0)
    tokenizer = tiny.make_tokenizer()
    model = build_model(tiny.MODEL, tokenizer)[0].eval()
    lengths = [30, 61, 90] if audio else [4, 9, 6]
    sources = [torch.randn(n, 16) if audio else torch.randint(5, 60, (n,)) for n in lengths]
    padded = torch.nn.utils.rnn.pad_sequence(sources, batch_first=True)
    task, options = "slu" if audio else "nlu", SearchOptions(beam=beam, nbest=beam, max_length=25)
    arguments = (model, tokenizer, audio)
    together = generate(*arguments, padded, torch.tensor(lengths), [task] * 3, options)
    for source, hypotheses in zip(sources, together):
        alone = generate(*arguments, source[None], torch.tensor([len(source)]), [task], options)[0]
        assert [h.tokens for h in alone] == [h.tokens for h in hypotheses]
        for one, other in zip(alone, hypotheses):
            assert one.score == pytest.approx(other.score, abs=1e-4)


def random_tokens(constraint, tokenizer, limit: int, seed: int) -> list[int]:
    """Walk through what a constraint allows."""
    generator = torch.Generator().manual_seed(seed)
    state, tokens = constraint.start(), []
    for length in range(limit):
        allowed = constraint.allowed(state, limit - length)
        assert bool(allowed.any())
        # Brackets are rare among all tokens: prefer them, so that trees grow deep.
        weights = torch.from_numpy(allowed).float()
        weights[tokenizer.close_id :] *= 40
        token = int(torch.multinomial(weights, 1, generator=generator))
        if token == tokenizer.eos_id:
            return tokens
        tokens.append(token)
        state = constraint.advance(state, token)
    raise AssertionError("the limit was passed")


@pytest.mark.parametrize("limit", [4, 7, 12, 40])
def test_whatever_the_constraint_allows_is_a_well_formed_tree(limit):
    tokenizer = tiny.make_tokenizer("[IN:ASK [SL:WHO ] ]")
    constraint = TreeConstraint(tokenizer)
    for seed in range(60):
        tokens = random_tokens(constraint, tokenizer, limit, seed)
        text = tokenizer.decode(tokens)
        assert trees.is_well_formed(trees.parse(text)), text


def test_every_tree_of_the_tokenizer_is_allowed_and_a_blank_is_no_word():
    tokenizer = tiny.make_tokenizer()
    constraint = TreeConstraint(tokenizer)
    # A word of letters unknown to the pieces begins with a blank alone.
    for text in ("[IN:PLAY play [SL:THING \u00e9t\u00e9 zq ] ]", "[IN:STOP the song ]"):
        ids, state = tokenizer.encode_tree(trees.parse(text)), constraint.start()
        for place, token in enumerate(ids):
            assert bool(constraint.allowed(state, len(ids) + 1 - place)[token]), (text, place)
            state = constraint.advance(state, token)
        assert bool(constraint.allowed(state, 1)[tokenizer.eos_id])
    blank = tokenizer.encode_text("\u00e9")[0]
    assert not tokenizer.decode([blank]).strip()
    state = constraint.start()
    for token in (tokenizer.tag_id("[IN:PLAY"), tokenizer.tag_id("[SL:THING"), blank):
        state = constraint.advance(state, token)
    assert not bool(constraint.allowed(state, 20)[tokenizer.close_id])


WHITE_SPACE = (*range(0x09, 0x0E), *range(0x1C, 0x21))


def byte_id(tokenizer, byte: int) -> int:
    return tokenizer.first_piece_id + tokenizer.pieces.index(f"<0x{byte:02X}>")


def test_a_blank_spelt_in_bytes_is_no_word():
    tokenizer = tiny.make_tokenizer()
    constraint = TreeConstraint(tokenizer)
    state = constraint.start()
    blank = tokenizer.encode_text("\u00e9")[0]
    for token in (tokenizer.tag_id("[IN:PLAY"), tokenizer.tag_id("[SL:THING"), blank):
        state = constraint.advance(state, token)
    allowed = constraint.allowed(state, 20)
    assert [byte for byte in range(256) if not allowed[byte_id(tokenizer, byte)]] == [*WHITE_SPACE]


def test_only_pairs_seen_in_training_are_allowed():
    tokenizer = tiny.make_tokenizer("[IN:ASK [SL:WHO ] ]")
    seen = trees.parse("[IN:PLAY play [SL:THING a [IN:ASK who [SL:WHO me ] ] ] ]")
    pairs = pairs_of(seen)
    assert (ROOT, "IN:PLAY") in pairs and (ROOT, "IN:ASK") not in pairs
    constraint = TreeConstraint(tokenizer, pairs)
    for seed in range(40):
        tokens = random_tokens(constraint, tokenizer, 30, seed)
        assert pairs_of(trees.parse(tokenizer.decode(tokens))) <= pairs


VALUES = {"SL:THING": ["red song", "song", "\u00e9t\u00e9 zq", "song song radio"]}


@pytest.mark.parametrize("limit", [4, 7, 12, 40])
def test_slots_have_only_the_values_given_and_others_any(limit):
    tokenizer = tiny.make_tokenizer("[IN:ASK [SL:WHO ] ]")
    constraint = TreeConstraint(tokenizer, None, SlotValues(tokenizer, VALUES))
    met = set()
    for seed in range(60):
        tree = trees.parse(tokenizer.decode(random_tokens(constraint, tokenizer, limit, seed)))
        assert trees.is_well_formed(tree)
        assert set(of_trees([tree]).get("SL:THING", ())) <= set(VALUES["SL:THING"])
        met |= {child for _, child in pairs_of(tree)}
    assert limit < 12 or met >= {"SL:THING", "SL:WHO"}


def test_a_tree_is_allowed_with_its_own_values_within_its_own_length():
    tokenizer = tiny.make_tokenizer()
    text = "[IN:PLAY play [SL:THING red song ] and [SL:THING \u00e9t\u00e9 zq ] ]"
    ids = tokenizer.encode_tree(trees.parse(text))
    values = of_trees([trees.parse(text)])
    assert values == {"SL:THING": ["red song", "\u00e9t\u00e9 zq"]}
    constraint = TreeConstraint(tokenizer, None, SlotValues(tokenizer, values))
    state = constraint.start()
    for place, token in enumerate(ids):
        assert bool(constraint.allowed(state, len(ids) + 1 - place)[token]), place
        state = constraint.advance(state, token)
    # What the list does not have cannot follow, and half a value cannot end.
    red = tokenizer.encode_text("red")[0]
    state = constraint.start()
    for token in (tokenizer.tag_id("[IN:PLAY"), tokenizer.tag_id("[SL:THING"), red):
        state = constraint.advance(state, token)
    allowed = constraint.allowed(state, 30)
    assert not allowed[tokenizer.close_id] and not allowed[tokenizer.encode_text("lamp")[0]]


def test_a_slot_that_holds_an_intent_is_free():
    found = [
        trees.parse("[IN:PLAY [SL:THING a [IN:ASK who [SL:WHO me ] ] ] [SL:WHO you ] ]"),
        trees.parse("[IN:PLAY [SL:THING b ] [SL:WHO me ] ]"),
    ]
    assert of_trees(found) == {"SL:WHO": ["me", "you"]}


def test_a_slot_without_words_has_no_value():
    found = [trees.parse("[IN:PLAY [SL:THING ] [SL:WHO ] ]"), trees.parse("[IN:A [SL:WHO me ] ]")]
    assert of_trees(found) == {"SL:WHO": ["me"]}


@pytest.mark.parametrize(
    ("values", "error"),
    [({"SL:NONE": ["a"]}, "does not know this slot"), ({"SL:THING": [""]}, "none is given")],
)
def test_values_that_cannot_be_are_refused(values, error):
    with pytest.raises(InputError, match=error):
        SlotValues(tiny.make_tokenizer(), values)


def test_an_untrained_model_lets_only_trees_out_under_the_constraint():
    torch.manual_seed(0)
    tokenizer = tiny.make_tokenizer()
    model = build_model(tiny.MODEL, tokenizer)[0].eval()
    source, lengths = torch.randn(5, 70, 16), torch.tensor([70, 60, 33, 9, 70])
    options = SearchOptions(beam=4, nbest=4, max_length=20)
    found = generate(
        model, tokenizer, True, source, lengths, ["slu"] * 5, options, TreeConstraint(tokenizer)
    )
    for hypotheses in found:
        assert hypotheses
        for hypothesis in hypotheses:
            assert trees.is_well_formed(trees.parse(tokenizer.decode(hypothesis.tokens)))


@pytest.mark.parametrize("seed", range(4))
def test_a_transcript_has_no_tags_whatever_the_decoder_likes(seed):
    tokenizer = tiny.make_tokenizer()
    tags = {*tokenizer.open_ids.values(), tokenizer.close_id}

    def tokens(constraint):
        scorer = TableScorer(4, 3, tokenizer.vocab_size, seed)
        start = torch.full((4,), tokenizer.task_id("asr"))
        options = SearchOptions(beam=3, nbest=3, max_length=30)
        found = beam_search(scorer, start, tokenizer.eos_id, options, constraint=constraint)
        return {token for hypotheses in found for h in hypotheses for token in h.tokens}

    assert tokens(None) & tags  # otherwise nothing is shown
    assert not tokens(WordConstraint(tokenizer)) & tags
    allowed = WordConstraint(tokenizer).allowed(None, 5)
    pieces = range(tokenizer.first_piece_id + 1, tokenizer.first_piece_id + tokenizer.num_pieces)
    blanks = {byte_id(tokenizer, byte) for byte in WHITE_SPACE}
    assert set(allowed.nonzero()[0].tolist()) == {*pieces, tokenizer.eos_id} - blanks
