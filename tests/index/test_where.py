import pytest

from sceneminer.index.errors import QueryError
from sceneminer.index.where import parse_where


def _risk(sign, value):
    tracks = f"(risk_tracks IS NOT NULL AND risk_tracks {sign} {value})"
    return f"({tracks} OR (risk_tracks IS NULL AND risk_camera {sign} {value}))"


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("risk > 0.6", _risk(">", "0.6")),
        ("tag.rain > 0.5 and risk <= 1", f"((tag_rain > 0.5) AND {_risk('<=', 1)})"),
        ("not (tag.bus > .5 or label_tag.night)", "(NOT ((tag_bus > 0.5) OR label_tag_night))"),
        ("location = 'x''y'", "(location = 'x''y')"),
        ("log in ('a', 'b')", "((log_name = 'a') OR (log_name = 'b'))"),
        ("ego_speed_mps between 3 and 5", "((ego_speed_mps >= 3) AND (ego_speed_mps <= 5))"),
        ("risk_camera is null", "(risk_camera IS NULL)"),
        ("risk is not null", "(NOT (coalesce(risk_tracks, risk_camera) IS NULL))"),
        ("ego_speed_mps * 3.6 >= -(2 + 1)", "((ego_speed_mps * 3.6) >= (-(2 + 1)))"),
        ("abs(rarity - 0.5) < 0.1", "(abs((rarity - 0.5)) < 0.1)"),
        ("log not in ('a', 'b')", "(NOT ((log_name = 'a') OR (log_name = 'b')))"),
        (
            "risk not between 0 and 1",
            f"(NOT ({_risk('>=', 0)} AND {_risk('<=', 1)}))",
        ),
        ("location not like 'bos%'", "(NOT (location LIKE 'bos%'))"),
        ("location like 'bos%'", "(location LIKE 'bos%')"),
    ],
)
def test_a_filter_is_written_anew(text, sql):
    assert parse_where(text).sql == sql


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("secret > 1", "'secret'"),
        ("tag.dragons > 0.5", "'tag.dragons'; expected one of tag.night, tag.rain"),
        ("tag.nihgt > 0.5", "did you mean tag.night?"),
        ("tag_night > 0.5", "did you mean tag.night?"),
        ("night > 0.5", "did you mean tag.night?"),
        ("category = 'car'", "did you mean agent.category?"),
        ('location = "boston"', "a text in single quotes, 'boston'"),
        ("pg_read_file('x') = 'y'", "pg_read_file"),
        ("lower(location) = 'x'", "lower"),
        ("risk > (select 1)", "subquery"),
        ("risk > 0.5; drop table clips", "one condition"),
        ("1 = 1 union select 1", "one condition"),
        ("risk > 0.5 limit 3", "one condition"),
        ("risk > 0.5 order by risk", "one condition"),
        ("risk in (select risk from clips)", "in"),
        ("risk > 'high'", "same type"),
        ("tag.rain", "comparison"),
        ("risk >", "found 'risk >'"),
        ("", "found ''"),
        ("location like location", "like"),
        ("label_tag.night > true", "= or !="),
        ("case when risk > 1 then true end", "case"),
        ("cast(risk as text) = '1'", "cast"),
        ("risk > 1e999", "finite"),
        ("risk > 0.5 -- and tag.rain > 0.5\n", "without comments"),
        ("not /* no */ risk > 0.5", "without comments"),
        ("clips.clip_id = 'x'", "'clips.clip_id'"),
        ("risk[0] > 1", "risk"),
        ("risk between symmetric 1 and 0", "symmetric"),
        ("location like 'a' escape 'b'", "escape"),
        ("location ilike 'a'", "ilike"),
        ("location = 'a\udc80'", "UTF-8"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(text, named):
    with pytest.raises(QueryError) as error:
        parse_where(text)
    assert named in str(error.value)


def test_long_and_deep_filters_are_refused():
    with pytest.raises(QueryError, match="4000 characters"):
        parse_where("risk > 0 and " * 400 + "risk > 0")
    with pytest.raises(QueryError):
        parse_where("(" * 1500 + "risk > 0" + ")" * 1500)
    with pytest.raises(QueryError):
        parse_where(" or ".join(["risk>0"] * 200))


def test_a_quote_cannot_end_a_text():
    sql = parse_where("location = 'a'' or 1=1 --'").sql
    assert sql == "(location = 'a'' or 1=1 --')"
