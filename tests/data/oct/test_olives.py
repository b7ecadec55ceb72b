from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from segnoise.data.item import check_disjoint, label_entropy
from segnoise.data.oct import BIOMARKERS, read_olives
from segnoise.errors import UserError
from segnoise.windows import Window
from tests.data.oct import oct_trees as trees


@pytest.fixture
def tables(tmp_path):
    return trees.write_olives(tmp_path)


def edit(table, change):
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    change(frame).to_csv(table, index=False)


class TestTables:
    def test_findings_are_matched_by_name_whatever_the_order_of_the_columns(self, tmp_path, tables):
        before = read_olives(tmp_path, tables[0])
        edit(tables[0], lambda frame: frame[frame.columns[::-1]])
        after = read_olives(tmp_path, tables[0])
        assert before[0] == list(BIOMARKERS)
        assert [(i.name, i.group, repr(i.image_labels)) for i in before[1]] == [
            (i.name, i.group, repr(i.image_labels)) for i in after[1]
        ]
        labels = {item.name: item.image_labels for item in after[1]}
        assert labels["Prime_FULL/02-010/W0/OD/1"]["Fluid (IRF)"] == 1
        assert labels["Prime_FULL/02-010/W0/OD/2"]["Fluid (IRF)"] == 0
        assert labels["TREX DME/GILA/0201GOD/V1/OD/TREXJ_000007"]["IR HRF"] == 1

    def test_every_finding_of_the_published_table_is_known(self):
        assert set(BIOMARKERS) < set(trees.FINDINGS)
        assert len(BIOMARKERS) == 16

    def test_a_leading_slash_means_the_given_folder_and_png_may_be_tif(self, tmp_path, tables):
        items = read_olives(tmp_path, tables[0])[1]
        assert [item.source.read(Window((0, 0), (6, 8)))[0].max() for item in items[:12]] == list(range(12))
        assert items[5].source.path.name == "5.tif"

    def test_groups_are_patients_and_volumes_are_visits(self, tmp_path, tables):
        items = read_olives(tmp_path, *tables)[1]
        assert {item.volume: item.group for item in items} == {
            "Prime_FULL/02-010/W0/OD": "57", "Prime_FULL/02-010/W36/OD": "57", "Prime_FULL/02-044/W4/OS": "80",
            "TREX DME/GILA/0201GOD/V1/OD": "1",
        }  # fmt: skip

    def test_both_tables_together_give_each_slice_once(self, tmp_path, tables):
        items = read_olives(tmp_path, *tables)[1]
        assert len(items) == len({item.name for item in items}) == 4 * trees.SLICES

    def test_clinical_values_are_labels_when_asked_for(self, tmp_path, tables):
        names, items = read_olives(tmp_path, *tables, labels=["Fluid (IRF)", "CST", "BCVA"])
        assert names == ["Fluid (IRF)", "CST", "BCVA"]
        known = {item.group: item.image_labels for item in items}
        assert (known["1"]["CST"], known["1"]["BCVA"]) == (307, 88)
        assert known["80"]["BCVA"] == 70
        assert math.isnan(known["80"]["CST"])

    def test_labels_that_occur_nowhere_can_be_left_out(self, tmp_path, tables):
        names, items = read_olives(tmp_path, *tables, occurring=True)
        assert names == ["IR HRF", "Fluid (IRF)"]
        assert all(list(item.image_labels) == names for item in items)

    def test_the_clinical_table_is_read_from_excel_too(self, tmp_path, tables):
        pytest.importorskip("openpyxl", reason="the published clinical table is an Excel file")
        excel = tables[1].with_suffix(".xlsx")
        pd.read_csv(tables[1]).to_excel(excel, index=False)
        from_excel, from_csv = (read_olives(tmp_path, clinical=t, labels=["CST"])[1] for t in (excel, tables[1]))
        assert [(i.name, i.group, repr(i.image_labels)) for i in from_excel] == [
            (i.name, i.group, repr(i.image_labels)) for i in from_csv
        ]


class TestC1PatientsAreDisjoint:
    def test_two_visits_of_a_patient_on_both_sides_are_refused(self, tmp_path, tables):
        items = read_olives(tmp_path, tables[0])[1]
        sides = {"train": [i for i in items if "/W0/" in i.name], "test": [i for i in items if "/W36/" in i.name]}
        with pytest.raises(UserError, match=r"train and test share 1 patient \(57\)"):
            check_disjoint(sides)

    def test_the_identifier_is_one_whether_written_57_or_57_0(self, tmp_path, tables):
        labelled = read_olives(tmp_path, tables[0])[1]
        all_slices = read_olives(tmp_path, clinical=tables[1])[1]
        with pytest.raises(UserError, match=r"share 2 patients \(1, 57\)"):
            check_disjoint({"train": labelled, "test": all_slices})

    def test_shared_patients_are_returned_and_logged_when_allowed(self, tmp_path, tables, caplog):
        items = read_olives(tmp_path, tables[0])[1]
        assert check_disjoint({"train": items, "val": items}, allow=True) == {"1", "57"}
        assert "train and val share 2 patients" in caplog.text

    def test_a_split_by_patient_passes(self, tmp_path, tables):
        items = read_olives(tmp_path, *tables)[1]
        assert check_disjoint({g: [i for i in items if i.group == g] for g in ("1", "57", "80")}) == set()

    def test_items_without_a_group_are_groups_of_their_own(self, tmp_path, tables):
        a, b = (dataclasses.replace(i, group=None) for i in read_olives(tmp_path, tables[0])[1][:2])
        assert check_disjoint({"train": [a], "test": [b]}) == set()
        with pytest.raises(UserError):
            check_disjoint({"train": [a], "test": [a]})


class TestC2SliceOrder:
    @pytest.mark.parametrize("which", [0, 1])
    @pytest.mark.parametrize("shuffle", [1, 2])
    def test_slices_follow_their_number_and_not_the_string_or_the_row(self, tmp_path, which, shuffle):
        tables = trees.write_olives(tmp_path, shuffle)
        items = read_olives(tmp_path, tables[0]) if which == 0 else read_olives(tmp_path, clinical=tables[1])
        for visit, (_, name) in trees.VISITS.items():
            found = [item.name for item in items[1] if item.volume == visit]
            assert found == [f"{visit}/{name.format(k).removesuffix('.tif')}" for k in range(trees.SLICES)]

    def test_the_scan_column_counts_before_the_name(self, tmp_path, tables):
        edit(tables[0], lambda frame: frame.assign(**{"Scan (n/49)": 50 - frame["Scan (n/49)"].astype(int)}))
        items = read_olives(tmp_path, tables[0])[1]
        assert [i.name.rpartition("/")[2] for i in items[:12]] == [str(k) for k in reversed(range(12))]


class TestC3UnknownIsNotNegative:
    def test_empty_cells_are_nan_and_zeros_are_zero(self, tmp_path, tables):
        for item in read_olives(tmp_path, tables[0])[1]:
            debris = item.image_labels["Vitreous debris"]
            assert math.isnan(debris) if item.name.rpartition("/")[2] in ("3", "TREXJ_000003") else debris == 0

    @pytest.mark.parametrize("empty", ["", " ", "nan", "null", "NA"])
    def test_every_way_to_write_nothing_is_nan(self, tmp_path, tables, empty):
        edit(tables[0], lambda frame: frame.assign(DRIL=empty))
        assert all(math.isnan(i.image_labels["DRIL"]) for i in read_olives(tmp_path, tables[0])[1])

    def test_a_slice_that_only_the_clinical_table_knows_has_no_known_finding(self, tmp_path, tables):
        items = [i for i in read_olives(tmp_path, *tables)[1] if i.group == "80"]
        assert len(items) == trees.SLICES
        assert all(math.isnan(value) for item in items for value in item.image_labels.values())

    def test_shuffling_the_rows_of_an_empty_column_changes_nothing(self, tmp_path, tables):
        edit(tables[0], lambda frame: frame.assign(SHRM=""))
        before = label_entropy(read_olives(tmp_path, tables[0])[1])
        edit(tables[0], lambda frame: frame.assign(SHRM=frame["SHRM"].sample(frac=1, random_state=3).to_numpy()))
        after = label_entropy(read_olives(tmp_path, tables[0])[1])
        assert repr(before) == repr(after)
        assert math.isnan(before["SHRM"]["slice"])


class TestEntropy:
    def test_a_finding_in_every_volume_tells_nothing_there_but_does_in_slices(self, tmp_path, tables):
        entropy = label_entropy(read_olives(tmp_path, *tables)[1])
        assert entropy["IR HRF"]["volume"] == 0
        assert entropy["IR HRF"]["slice"] == pytest.approx(-(2 / 3 * np.log2(2 / 3) + 1 / 3 * np.log2(1 / 3)))
        assert entropy["Fluid (IRF)"]["volume"] == pytest.approx(-(2 / 3 * np.log2(2 / 3) + 1 / 3 * np.log2(1 / 3)))

    def test_a_volume_with_an_unknown_slice_and_no_positive_one_is_unknown(self, tmp_path, tables):
        entropy = label_entropy(read_olives(tmp_path, tables[0])[1])
        assert entropy["Vitreous debris"]["slice"] == 0
        assert math.isnan(entropy["Vitreous debris"]["volume"])

    def test_a_measurement_has_none(self, tmp_path, tables):
        with pytest.raises(UserError, match="'CST' is 307; entropy is of yes and no"):
            label_entropy(read_olives(tmp_path, tables[0], labels=["CST"])[1])


class TestMistakes:
    def test_a_missing_column_is_named_with_the_nearest(self, tmp_path, tables):
        edit(tables[0], lambda frame: frame.rename(columns={"Fluid (IRF)": "fluid_irf"}))
        with pytest.raises(UserError, match=r"no column 'Fluid \(IRF\)'; did you mean 'Fluid \(SRF\)'"):
            read_olives(tmp_path, tables[0])
        edit(tables[1], lambda frame: frame.rename(columns={"Patient_ID": "PatientID"}))
        with pytest.raises(UserError, match=r"no column 'Patient_ID'; did you mean 'PatientID'"):
            read_olives(tmp_path, clinical=tables[1])

    def test_a_label_that_olives_has_not_is_named_with_the_nearest(self, tmp_path, tables):
        with pytest.raises(UserError, match=r"'Fluid IRF'.* did you mean 'Fluid \(IRF\)'"):
            read_olives(tmp_path, clinical=tables[1], labels=["Fluid IRF"])

    @pytest.mark.parametrize("value", ["2", "yes", "0.5", "-1"])
    def test_a_finding_that_is_neither_yes_nor_no_is_named_with_its_line(self, tmp_path, tables, value):
        def change(frame):
            frame.loc[6, "VMT"] = value
            return frame

        edit(tables[0], change)
        with pytest.raises(UserError, match=rf"line 8: 'VMT' is '{value}'; expected 0, 1 or empty"):
            read_olives(tmp_path, tables[0])

    @pytest.mark.parametrize("column", ["Patient_ID", trees.PATH])
    def test_a_row_without_patient_or_path_is_named(self, tmp_path, tables, column):
        def change(frame):
            frame.loc[2, column] = ""
            return frame

        edit(tables[0], change)
        with pytest.raises(UserError, match="line 4: no "):
            read_olives(tmp_path, tables[0])

    def test_rows_that_contradict_each_other_are_named_and_equal_ones_are_one(self, tmp_path, tables):
        edit(tables[0], lambda frame: pd.concat([frame, frame.iloc[:1]]))
        assert len(read_olives(tmp_path, tables[0])[1]) == 3 * trees.SLICES
        edit(tables[0], lambda frame: pd.concat([frame, frame.iloc[:1].assign(SHRM="1")]))
        with pytest.raises(UserError, match="is in the table twice, with other labels"):
            read_olives(tmp_path, tables[0])

    def test_tables_that_disagree_about_a_patient_are_refused(self, tmp_path, tables):
        edit(tables[1], lambda frame: frame.assign(Patient_ID="99"))
        with pytest.raises(UserError, match=r"is of patient \d+, but 99 in .*; give tables of one release"):
            read_olives(tmp_path, *tables)

    def test_a_path_that_leaves_the_folder_is_refused(self, tmp_path, tables):
        edit(tables[1], lambda frame: frame.assign(File_Path="/../../etc/" + frame["File_Path"].str[1:]))
        with pytest.raises(UserError, match="leaves the folder"):
            read_olives(tmp_path, clinical=tables[1])

    def test_a_missing_image_is_named(self, tmp_path, tables):
        (tmp_path / "Prime_FULL/02-010/W0/OD/4.tif").unlink()
        with pytest.raises(UserError, match=r"4\.tif: no such image; give the folder that holds Prime_FULL"):
            read_olives(tmp_path, tables[0])

    def test_no_table_a_missing_one_and_a_binary_one_are_told(self, tmp_path, tables):
        with pytest.raises(UserError, match="no table"):
            read_olives(tmp_path)
        with pytest.raises(UserError, match=r"nowhere\.csv: no such table"):
            read_olives(tmp_path, tmp_path / "nowhere.csv")
        tables[0].write_bytes(bytes(range(256)) * 4)
        with pytest.raises(UserError, match="not a table"):
            read_olives(tmp_path, tables[0])
        tables[0].write_text("")
        with pytest.raises(UserError, match="not a table"):
            read_olives(tmp_path, tables[0])
