"""Tables of numbers as text: every spelling that has one meaning is read, and every fault is named with its line."""

from __future__ import annotations

import pytest
import torch

from ot_gen.data import points

TABLE = "1.5,2\n-3,4e1\n.5,6\n7,8\n"
SPELLINGS = {
    "a mark at the beginning": b"\xef\xbb\xbfa,b\n" + TABLE.encode(),
    "UTF-16": ("é,b\n" + TABLE).encode("utf-16"),
    "Latin-1": ("é,ü\n" + TABLE).encode("latin-1"),
    "lines of Windows": TABLE.replace("\n", "\r\n").encode(),
    "lines of old Macs": TABLE.replace("\n", "\r").encode(),
    "empty lines": ("\n \na,b\n\n" + TABLE.replace("\n", "\n\n")).encode(),
    "blanks": TABLE.replace(",", " , ").encode(),
    "quotes": b'"a","b, c"\n"1.5","2"\n"-3","4e1"\n".5",6\n7,"8"\n',
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_table_is_read_however_it_is_spelled(spelling, tmp_path):
    (tmp_path / "a.csv").write_bytes(SPELLINGS[spelling])
    data = points(tmp_path / "a.csv")
    rows = sorted(torch.cat([data.train.atoms, data.test.atoms]).tolist())
    assert rows == [[-3.0, 40.0], [0.5, 6.0], [1.5, 2.0], [7.0, 8.0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a;b\n1;2\n3;4\n", "separated by ';', not by commas.*sep=';'"),
        ("1,5;2,5\n3,5;4,5\n", "separated by ';'"),
        ("a\tb\n1\t2\n3\t4\n", r"separated by tabs \('\\t'\)"),
        ("1|2\n3|4\n", r"separated by '\|'"),
        ("1 2\n3 4\n", "separated by blanks"),
        ('1,2\n"3,5","4,5"\n', "line 2, column 1: could not convert string '3,5' to a number; write decimal points"),
        ("a,b\n\n1,2\n3,x\n", "line 4, column 2: could not convert string 'x'"),
        ("a,b\r\n1,2\r\n3,\r\n", "line 3, column 2: .*fill in the value"),
        ("1,2\n3,1_000\n", "line 2, column 2: could not convert string '1_000'"),
        ("1,2\n\n3\n", "number of columns changed: line 1 has 2 entries, and line 3 1"),
        ("a,b,c\n1,2\n3,4\n", "3 names in its first line, and 2 columns"),
        ("a,b\n1,2\n\n3,nan\n4,-inf\n", r"NaN or Inf in 2 of 3 rows \(first: line 4 of the file\)"),
        ("a,b\n1,2\n3,\0\n", "NUL bytes"),
        ("1,2\n3," + "7" * 200_000 + "!\n", r"line 2, column 2: could not convert string '7+\.\.\."),
    ],
)
def test_what_is_wrong_with_a_table_is_named_with_its_line(text, words, tmp_path):
    (tmp_path / "a.csv").write_text(text, newline="")
    with pytest.raises(ValueError, match=words):
        points(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "id,x\n0,.5\n1,.7\n2,.1\n3,.2\n",
            r"column 1 \('id'\) of .*a\.csv counts its rows \(0, 1, \.\.\.\) and is kept",
        ),
        ("1,.5\n2,.7\n3,.1\n4,.2\n", r"column 1 of .*a\.csv counts its rows \(1, 2, \.\.\.\)"),
        (",x\n7,.5\n3,.7\n9,.1\n1,.2\n", r"column 1 \(''\) .*has no name, as an index has none"),
        ("0,1\n.5,.2\n.7,.1\n.1,.4\n", "reads '0,1' and is kept as a point; if these are the numbers of its columns"),
    ],
)
def test_a_column_that_may_be_an_index_is_named_and_kept(text, words, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.warns(UserWarning, match=words):
        data = points(tmp_path / "a.csv")
    assert data.dim == len(text.split("\n")[1].split(",")) and len(data.train) + len(data.test) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (",0,1\n0,.5,.2\n1,.7,.1\n2,.1,.4\n3,.2,.1\n", r"column 1 \(''\) of .*a\.csv counts its rows \(0, 1, \.\.\.\)"),
        ("Unnamed: 0,a,b\n1,.5,.2\n2,.7,.1\n3,.1,.4\n4,.2,.1\n", "taken for an index and left out; if it is a coord"),
    ],
)
def test_an_index_without_a_name_is_left_out_with_a_warning(text, words, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.warns(UserWarning, match=words):
        data = points(tmp_path / "a.csv")
    rows = sorted(torch.cat([data.train.atoms, data.test.atoms]).tolist())
    assert torch.tensor(rows).mul(10).round().tolist() == [[1, 4], [2, 1], [5, 2], [7, 1]]


KINDS = {2: "setosa", 1: "iris virginica", 3: "setosa", 4: "setosa", 6: "iris virginica", 5: "setosa"}
FLOWERS = "length,species,width\n" + "".join(f"{x},{kind},{10 - x}\n" for x, kind in KINDS.items())


@pytest.mark.parametrize("table", [FLOWERS, FLOWERS.replace(",setosa", ',"setosa"'), FLOWERS.replace("\n", "\r\n")])
def test_a_column_of_labels_is_found_by_its_name_and_is_no_coordinate(table, tmp_path):
    (tmp_path / "a.csv").write_text(table, newline="")
    data = points(tmp_path / "a.csv", label="species", test_fraction=0.34)
    assert data.class_names == ("iris virginica", "setosa") and data.dim == 2
    cloud, labels = torch.cat([data.train.atoms, data.test.atoms]), torch.cat(data.labels)
    assert bool((cloud.sum(dim=1) == 10).all())
    assert dict(zip(cloud[:, 0].tolist(), labels.tolist(), strict=True)) == {
        x: int(kind == "setosa") for x, kind in KINDS.items()
    }


def test_numbered_classes_of_a_column_keep_their_numbers_as_names(tmp_path):
    (tmp_path / "a.csv").write_text("x,k\n" + "".join(f"{i / 7},{3 + 4 * (i % 2)}\n" for i in range(9)))
    data = points(tmp_path / "a.csv", label="k")
    assert data.class_names == ("3", "7") and set(torch.cat(data.labels).tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("text", "label", "words"),
    [
        (FLOWERS, "kind", r"0 columns 'kind'; its columns are 'length', 'species', 'width'"),
        (FLOWERS.replace("width", "species"), "species", "2 columns 'species'"),
        (FLOWERS.replace("3,setosa", "3,"), "species", "line 4, column 2: there is no label"),
        (FLOWERS.replace(",7", ",x"), "species", "line 4, column 3: could not convert string 'x'"),
        (
            FLOWERS,
            None,
            "line 2, column 2: .*'setosa' to a number; if 'species' holds classes, give its name as the label",
        ),
        ("1,2\n3,4\n", "k", "no line of names, so no column 'k'"),
        ("k\na\nb\na\nb\n", "k", "no column but that of the labels"),
        ("x,k\n" + "".join(f"{i},{i / 7}\n" for i in range(9)), "k", "no measured quantity"),
    ],
)
def test_a_column_of_labels_that_is_none_is_named(text, label, words, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        points(tmp_path / "a.csv", label=label)
    assert "\n" not in str(error.value)
