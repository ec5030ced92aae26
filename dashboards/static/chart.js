// Charts with uPlot: current line, last week dashed, threshold with its number, alerts as shaped marks, gaps left open.
'use strict';
addEventListener('DOMContentLoaded', () => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const FONT = '11px "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif';
  const pad = (n) => String(n).padStart(2, '0');
  const held = new Map();
  function scaled(value) {
    for (const [size, prefix] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) if (Math.abs(value) >= size) return `${+(value / size).toPrecision(3)} ${prefix}`;
    return String(+value.toPrecision(3));
  }
  const words = { bps: (v) => scaled(v), count: (v) => scaled(v), rate: (v) => scaled(v), percent: (v) => `${+v.toPrecision(3)}%`, celsius: (v) => `${+v.toPrecision(3)}°` };
  const whole = { bps: (v) => `${scaled(v)}bit/s`.replace(/(\d)bit/, '$1 bit'), percent: words.percent, celsius: (v) => `${+v.toPrecision(3)} °C`, count: (v) => scaled(v).trim(), rate: (v) => `${scaled(v).trim()}/s` };
  function clock(seconds, span) {
    // City time, whatever the browser's zone.
    const d = new Date((seconds + 8 * 3600) * 1000);
    return span > 172800 ? `${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}` : `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}`;
  }
  const marks = (data) => ({ hooks: { draw: (u) => {
    const c = u.ctx, { left, top, width, height } = u.bbox, d = devicePixelRatio;
    c.save(); c.font = `${11 * d}px ${FONT.slice(5)}`; c.lineWidth = d;
    for (const t of data.thresholds) {
      const y = u.valToPos(t.y, 'y', true);
      if (y < top || t.y >= u.scales.y.max) continue;
      c.strokeStyle = css('--critical'); c.setLineDash([5 * d, 4 * d]); c.beginPath(); c.moveTo(left, y); c.lineTo(left + width, y); c.stroke();
      c.fillStyle = css('--critical-fg'); c.textAlign = 'left'; c.textBaseline = 'bottom'; c.fillText(whole[data.unit](t.y), left + 4 * d, y - 3 * d);
    }
    c.setLineDash([]);
    // Shortened to its room, which leaves the threshold's number readable.
    const cut = (text, room) => {
      let n = text.length;
      while (n > 4 && c.measureText(text.slice(0, n)).width > room) n -= 1;
      return n < text.length ? `${text.slice(0, n - 1)}\u2026` : text;
    };
    data.events.forEach((e, row) => {
      const x = u.valToPos(e.x, 'x', true), y0 = top + row * 16 * d;
      if (x < left || x > left + width) return;
      c.strokeStyle = c.fillStyle = css(e.color); c.globalAlpha = .7; c.beginPath(); c.moveTo(x, y0 + 6 * d); c.lineTo(x, top + height); c.stroke(); c.globalAlpha = 1;
      c.beginPath(); c.moveTo(x, y0 - d); c.lineTo(x + 5 * d, y0 + 4 * d); c.lineTo(x, y0 + 9 * d); c.lineTo(x - 5 * d, y0 + 4 * d); c.fill();
      const right = x > left + width / 2;
      c.fillStyle = css('--text-2'); c.textAlign = right ? 'right' : 'left'; c.textBaseline = 'middle'; c.fillText(cut(e.text, (right ? x - left : left + width - x) - 48 * d), x + (right ? -9 : 9) * d, y0 + 5 * d);
    });
    c.restore();
  } } });
  function say(el, text) { el.replaceChildren(Object.assign(document.createElement('p'), { className: 'empty t3', textContent: text })); }
  function draw(el, data) {
    held.set(el, data);
    const label = el.parentElement.querySelector('[data-latest]');
    const values = data.series.flatMap((s) => s.data).filter((v) => v !== null);
    if (!values.length) { if (label) label.textContent = ''; return say(el, el.dataset.empty); }
    const span = data.xs.at(-1) - data.xs[0];
    // The newest values, or those under the pointer.
    function tell(at) {
      if (!label) return;
      const pick = (s) => (at === null ? s.data.findLast((v) => v !== null) : s.data[at]);
      const said = data.series.filter((s) => !s.dash).map((s) => [s, pick(s)]).filter(([, v]) => v !== undefined && v !== null)
        .flatMap(([s, v], n) => [Object.assign(document.createElement('i'), { className: `sw c${n + 1}` }), `${s.name} ${whole[data.unit](v)}`]);
      // An old value must not pass for one of now.
      const newest = Math.max(...data.series.filter((s) => !s.dash).map((s) => s.data.findLastIndex((v) => v !== null)));
      if (at === null && newest >= 0 && newest < data.xs.length - 4) at = newest;
      if (at !== null) said.unshift(`${span > 172800 ? clock(data.xs[at], span) + ' ' : ''}${clock(data.xs[at], 0)}`);
      label.replaceChildren(...said);
    }
    tell(null);
    el.replaceChildren();
    // A threshold far above all values would press them flat: it is drawn once they come near.
    const most = Math.max(...values), near = data.thresholds.map((t) => t.y).filter((y) => most * 3 >= y);
    const top = data.high ?? (Math.max(most, ...near) * 1.15 || (data.unit === 'bps' ? 1e6 : 1));
    const axis = { stroke: css('--c-axis'), font: FONT, grid: { stroke: css('--c-grid'), width: 1 }, ticks: { show: false }, border: { show: false } };
    new window.uPlot({
      width: el.clientWidth, height: el.clientHeight, legend: { show: false }, cursor: { points: { size: 6 }, y: false }, padding: [8, 16, 0, 0],
      scales: { x: { time: true }, y: { range: [data.low, top] } },
      axes: [{ ...axis, size: 24, space: 56, grid: { show: false }, values: (u, v) => v.map((t) => clock(t, span)) }, { ...axis, size: 46, space: 34, values: (u, v) => v.map(words[data.unit]) }],
      series: [{}, ...data.series.map((s) => ({ stroke: css(s.color), width: s.dash ? 1 : 1.5, dash: s.dash && [4, 3], fill: s.fill ? css('--c-fill') : undefined, points: { show: false }, spanGaps: false }))],
      plugins: [marks(data)], hooks: { setCursor: [(u) => tell(u.cursor.idx ?? null)] },
    }, [data.xs, ...data.series.map((s) => s.data)], el);
  }
  async function load(el) {
    try {
      const answer = await fetch(el.dataset.chart, { headers: { 'X-Background': '1' } });
      if (!answer.ok) throw new Error(String(answer.status));
      draw(el, await answer.json());
    } catch { if (!held.has(el)) say(el, el.dataset.error); }
  }
  const all = () => [...document.querySelectorAll('[data-chart]')];
  const again = () => { for (const [el, data] of held) if (el.isConnected) draw(el, data); else held.delete(el); };
  all().forEach(load);
  // Charts that came with a fragment.
  const begun = new WeakSet(all());
  document.addEventListener('htmx:afterSettle', () => { for (const el of all()) if (!begun.has(el)) { begun.add(el); load(el); } });
  setInterval(() => { if (!document.hidden) all().forEach(load); }, 30000);
  let timer;
  addEventListener('resize', () => { clearTimeout(timer); timer = setTimeout(again, 120); });
  addEventListener('themechange', again);
});
