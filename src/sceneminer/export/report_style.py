"""The report's style sheet: light and dark, wide and narrow."""

CSS = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#181d26;--soft:#4d5663;--faint:#6b7480;
--line:#dfe3e8;--fill:#e9edf2;--accent:#2c6cbc;--hot:#c9143a;--hotfill:#f9dbe1}
@media (prefers-color-scheme:dark){:root{--page:#14171c;--card:#1d2128;--ink:#e8ebf0;--soft:#b4bcc8;--faint:#939ba8;
--line:#323842;--fill:#2a3038;--accent:#7cb0f4;--hot:#ff6f8b;--hotfill:#53222e}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
main{max-width:1240px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:27px;margin:0 0 2px;letter-spacing:-.01em}
h2{font-size:19px;margin:40px 0 4px;letter-spacing:-.005em}
h3{font-size:16px;margin:24px 0 10px;font-weight:600}
h3 q{font-style:italic;font-weight:500}
p{margin:4px 0 10px;max-width:86ch;color:var(--soft)}
.faint{color:var(--faint)}
.mono{font:12.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.stats{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:12px;margin:18px 0 12px}
.stat{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.stat b{display:block;font-size:23px;line-height:1.2;font-variant-numeric:tabular-nums}
.stat span{color:var(--faint);font-size:13px}
.hits{display:grid;grid-template-columns:repeat(auto-fill,minmax(252px,1fr));gap:14px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden;display:flex;
flex-direction:column}
.hits .card>img,.hits .none{width:100%;aspect-ratio:16/9;object-fit:cover;display:block;background:var(--fill)}
.none{display:flex;align-items:center;justify-content:center;color:var(--faint);background:var(--fill);min-height:110px;
font-size:13px;padding:10px;text-align:center}
.body{padding:10px 12px 12px;display:flex;flex-direction:column;gap:6px;flex:1}
.top{display:flex;justify-content:space-between;gap:10px;align-items:baseline}
.top b{font-size:15px}
.score{font-variant-numeric:tabular-nums;font-weight:600;white-space:nowrap}
.when{color:var(--soft);font-variant-numeric:tabular-nums;font-size:14px}
.what{font-size:13px;color:var(--faint);display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;
overflow:hidden}
.why{font-size:13.5px;color:var(--soft)}
.why.hot{color:var(--hot)}
.tags{display:flex;flex-wrap:wrap;gap:5px}
.tag{font-size:12px;background:var(--fill);border-radius:99px;padding:1px 9px;white-space:nowrap}
.tag i{font-style:normal;color:var(--faint);font-variant-numeric:tabular-nums}
.label{background:none;box-shadow:inset 0 0 0 1px var(--line)}
.id{color:var(--faint);margin-top:auto}
.hard{display:grid;grid-template-columns:minmax(0,1.76fr) minmax(0,1fr) minmax(0,1.5fr);margin-bottom:16px}
.hard>*{min-width:0}
.hard .shot img,.hard .bev img{width:100%;height:auto;display:block}
.hard .shot:has(img),.hard .bev{align-self:start}
.hard .none{width:100%;height:100%}
.hard .body{grid-column:3;grid-row:1/3}
.spark{grid-column:1/3;padding:8px 12px;align-self:end}
.parts{display:grid;grid-template-columns:auto 1fr auto;gap:4px 10px;align-items:center;font-size:13px}
.bar{height:8px;border-radius:4px;background:var(--fill);overflow:hidden}
.bar i{display:block;height:100%;background:var(--accent)}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
svg{display:block;width:100%;height:64px}
svg .span{fill:var(--accent);opacity:.2}
svg .under{fill:var(--hotfill)}
svg .risk{fill:none;stroke:var(--hot);stroke-width:1.5;vector-effect:non-scaling-stroke}
svg .now{stroke:var(--ink);stroke-width:1.25;vector-effect:non-scaling-stroke}
svg .base{stroke:var(--line);stroke-width:1;vector-effect:non-scaling-stroke}
.axis{display:flex;justify-content:space-between;font-size:12px;color:var(--faint)}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:6px 12px;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child>*{border-bottom:0}
thead th{font-size:12.5px;color:var(--faint);font-weight:600}
td .bar{min-width:60px;margin-top:7px}
details{margin:8px 0}
summary{cursor:pointer;color:var(--accent)}
dl{display:grid;grid-template-columns:minmax(120px,190px) 1fr;gap:5px 16px;margin:8px 0;font-size:14px}
dt{color:var(--faint)}
dd{margin:0}
@media (max-width:900px){.hard{grid-template-columns:1.76fr 1fr}
.hard .body{grid-column:1/-1;grid-row:3}}
@media (max-width:560px){main{padding:18px 12px 40px}h1{font-size:23px}.stats{grid-template-columns:1fr 1fr}
.hits{grid-template-columns:1fr}.hard{grid-template-columns:1fr}.hard .body,.spark{grid-column:1;grid-row:auto}
dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 8px}
th,td{padding:6px 8px}table.prevalence .wide{display:none}}
@media print{body{background:#fff}.card,.hard{break-inside:avoid}}
"""
