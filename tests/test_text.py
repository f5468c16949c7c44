"""Vocabularies and text embeddings."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from small_clip import small_clip

from proxyclip import Vocabulary
from proxyclip.models.clip import encode_vocabulary


def test_a_class_may_have_several_queries():
    vocabulary = Vocabulary.parse(["sky; cloud", "horse"])
    assert vocabulary.names == ("sky", "horse")
    assert vocabulary.queries == ("sky", "cloud", "horse")
    assert vocabulary.class_of_query == (0, 0, 1)
    assert Vocabulary.parse(vocabulary.plain()) == vocabulary
    assert len(vocabulary) == 2


def test_a_query_may_serve_two_classes():
    assert Vocabulary.parse(["wall; bed", "bed"]).class_of_query == (0, 0, 1)


@pytest.mark.parametrize(("classes", "sentence"), [
    ([], "the class list is empty"),
    (["horse", " ; "], "class 1 is empty"),
    (["horse", "grass", "horse"], "class 'horse' occurs twice, as number 0 and as number 2"),
    (["sky; sky"], "class 0 repeats a query"),
    ("horse", "classes must be a list"),
])
def test_a_bad_class_list_is_refused_with_a_sentence(classes, sentence):
    with pytest.raises(ValueError, match=sentence):
        Vocabulary.parse(classes)


def test_text_embeddings_are_the_normalised_mean_of_normalised_prompts():
    clip = small_clip()
    text = encode_vocabulary(clip, ["sky; cloud", "a very long name of a thing, with a comma"])
    for query, row in zip(text.vocabulary.queries, text.embeddings, strict=True):
        prompts = [clip.model.encode_text(clip.tokenizer([template(query)])) for template in clip.templates]
        expected = F.normalize(sum(F.normalize(p, dim=-1) for p in prompts), dim=-1)[0]
        assert (row - expected).abs().max() < 1e-6  # open_clip's tower runs the full 77 tokens
    assert text.embeddings.shape == (3, clip.embed_dim)


def test_embeddings_are_cached_and_do_not_depend_on_other_queries():
    clip = small_clip()
    alone = clip.encode_queries(["horse"])
    calls = []
    clip.encode_text, original = lambda tokens: calls.append(1) or original(tokens), clip.encode_text
    together = clip.encode_queries(["horse", "the name of something longer", "horse"])
    assert len(calls) == 1
    assert torch.equal(together[0], alone[0]) and torch.equal(together[2], alone[0])
    clip.encode_queries(["horse"])
    assert len(calls) == 1
    clip.templates = ("a drawing of a {}".format,)  # other prompts are other embeddings
    assert not torch.equal(clip.encode_queries(["horse"])[0], alone[0]) and len(calls) == 2
    other = small_clip()
    many = other.encode_queries([f"{'long ' * (number % 7)}name {number}" for number in range(70)] + ["horse"])
    assert torch.equal(many[-1], alone[0])


def test_a_class_whose_prompts_are_cut_is_named_in_a_warning_once():
    clip = small_clip()
    long, other = (f"{'a very ' * 40}long name of a {thing}" for thing in ("horse", "house"))
    with pytest.warns(UserWarning, match="long name of a horse' is too long: CLIP's text tower reads only") as found:
        text = encode_vocabulary(clip, [long, other, "a name of no unusual length"])
    assert torch.equal(text.embeddings[0], text.embeddings[1]) and len(found) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_vocabulary(clip, [long])
