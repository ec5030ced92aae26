// The network map: zoom and pan, the panel of what is chosen, and states put in place without moving anything.
'use strict';
addEventListener('DOMContentLoaded', () => {
  const home = document.getElementById('topo'), map = document.getElementById('map'), canvas = document.getElementById('canvas');
  if (!home || !map || !canvas) return;
  const side = document.getElementById('topo-panel'), zoom = document.getElementById('zoom');
  const STATES = ['critical', 'major', 'minor', 'info', 'ok', 'unknown', 'stale', 'maint', 'suppressed', 'off'];
  const ICON = { critical: 'sev-critical', major: 'sev-major', minor: 'sev-minor', info: 'sev-info', ok: 'st-ok', unknown: 'st-unknown', stale: 'st-stale', maint: 'st-maint', suppressed: 'st-suppressed', off: 'st-off' };
  const byNode = new Map([...map.querySelectorAll('[data-node]')].map((el) => [el.dataset.node, el]));
  const byLink = new Map([...map.querySelectorAll('[data-link]')].map((el) => [el.dataset.link, el]));
  const whole = map.viewBox.baseVal, full = { w: whole.width, h: whole.height };
  let view = { x: 0, y: 0, w: full.w, h: full.h };
  const shape = () => canvas.clientHeight / Math.max(1, canvas.clientWidth);

  // -- zoom and pan
  function show() { map.setAttribute('viewBox', `${view.x} ${view.y} ${view.w} ${view.h}`); }
  function scale(factor, cx = view.x + view.w / 2, cy = view.y + view.h / 2) {
    const w = Math.min(Math.max(full.w, full.h / shape()) * 1.5, Math.max(320, view.w * factor)), f = w / view.w;
    view = { x: cx - (cx - view.x) * f, y: cy - (cy - view.y) * f, w, h: view.h * f };
    show();
  }
  function at(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    return [point.x, point.y];
  }
  function fit() {
    const w = Math.max(full.w, full.h / shape());
    view = { x: (full.w - w) / 2, y: 0, w, h: w * shape() };
    show();
  }
  function begin() {
    // On a narrow screen the whole map cannot be read: begin where it begins, at a readable size.
    fit();
    const first = byNode.get(new URLSearchParams(location.search).get('sel')) || map.querySelector('.node:not(.dim)');
    const readable = canvas.clientWidth / 0.72;
    if (readable < view.w && canvas.clientWidth < 700 && first) {
      const at = first.transform.baseVal.consolidate().matrix;
      view = { x: Math.max(0, Math.min(full.w - readable, at.e + 74 - readable / 2)), y: Math.max(0, at.f - 60), w: readable, h: readable * shape() };
      show();
    }
  }
  begin();
  addEventListener('resize', () => { view.h = view.w * shape(); show(); });
  canvas.addEventListener('wheel', (event) => { event.preventDefault(); scale(event.deltaY > 0 ? 1.15 : 1 / 1.15, ...at(event)); }, { passive: false });
  const touches = new Map();
  let moved = false;
  canvas.addEventListener('pointerdown', (event) => { touches.set(event.pointerId, event); if (touches.size === 1) moved = false; });
  addEventListener('pointermove', (event) => {
    const before = touches.get(event.pointerId);
    if (!before) return;
    const px = view.w / map.clientWidth;
    if (touches.size === 1) {
      const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
      if (!moved && Math.hypot(dx, dy) < 4) return;
      moved = true;
      canvas.classList.add('dragging');
      view.x -= dx * px; view.y -= dy * px;
      show();
    } else {
      const other = [...touches].find(([id]) => id !== event.pointerId)[1];
      const gap = (e) => Math.max(10, Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY));
      moved = true;
      scale(gap(before) / gap(event), ...at(event));
    }
    touches.set(event.pointerId, event);
  });
  for (const end of ['pointerup', 'pointercancel']) addEventListener(end, (event) => { touches.delete(event.pointerId); canvas.classList.remove('dragging'); });
  if (zoom) {
    zoom.hidden = false;
    zoom.addEventListener('click', (event) => {
      const what = event.target.closest('[data-zoom]')?.dataset.zoom;
      if (what === 'in') scale(1 / 1.3); else if (what === 'out') scale(1.3); else if (what === 'fit') fit();
    });
  }
  function bring(el) {
    // Into view, without moving what is already there.
    const box = el.getBBox(), m = el.transform.baseVal.consolidate()?.matrix, x = (m?.e ?? 0) + box.x, y = (m?.f ?? 0) + box.y;
    if (x < view.x || y < view.y || x + box.width > view.x + view.w || y + box.height > view.y + view.h) {
      view.x = x + box.width / 2 - view.w / 2; view.y = y + box.height / 2 - view.h / 2;
      show();
    }
  }

  // -- the chosen thing
  async function choose(name, push = true) {
    for (const el of map.querySelectorAll('.on, .near')) el.classList.remove('on', 'near');
    const address = new URL(location.href);
    if (name) address.searchParams.set('sel', name); else address.searchParams.delete('sel');
    if (push) history.replaceState(null, '', address);
    if (!name) { side.hidden = true; side.replaceChildren(); return; }
    const el = byNode.get(name) || byLink.get(name);
    el?.classList.add('on');
    if (byNode.has(name)) { bring(byNode.get(name)); lines.get(name)?.forEach((line) => line.classList.add('near')); }
    try {
      const answer = await fetch(`${home.dataset.panel}?sel=${encodeURIComponent(name)}`);
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      side.replaceChildren(...page.body.childNodes);
      side.hidden = false;
    } catch { location.href = address; }
  }
  const lines = new Map();
  for (const [name, el] of byLink) for (const end of name.split('~').slice(0, 2)) {
    const node = end.slice(0, end.lastIndexOf(':'));
    if (!lines.has(node)) lines.set(node, []);
    lines.get(node).push(el);
  }
  map.addEventListener('click', (event) => {
    const el = event.target.closest('[data-node], [data-link]');
    if (moved) { event.preventDefault(); return; }
    if (!el) { choose(''); return; }
    if (event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    choose(el.dataset.node || el.dataset.link);
  });
  map.addEventListener('dragstart', (event) => event.preventDefault());
  side.addEventListener('click', (event) => {
    const select = event.target.closest('[data-select]'), close = event.target.closest('[data-close]');
    if (select) { event.preventDefault(); choose(select.dataset.select); } else if (close) { event.preventDefault(); choose(''); }
  });
  addEventListener('keydown', (event) => {
    if (event.target.closest('input, select, textarea, dialog')) return;
    if (event.key === 'Escape') choose('');
    else if (event.key === '+' || event.key === '=') scale(1 / 1.3);
    else if (event.key === '-') scale(1.3);
    else if (event.key === '0') fit();
    else if (event.key.startsWith('Arrow') && event.target.closest('.node')) { event.preventDefault(); walk(event.target.closest('.node'), event.key); }
  });
  function walk(from, key) {
    // The nearest node in the direction of the arrow.
    const a = from.getBoundingClientRect(), dx = { ArrowLeft: -1, ArrowRight: 1 }[key] || 0, dy = { ArrowUp: -1, ArrowDown: 1 }[key] || 0;
    let best, least = Infinity;
    for (const el of byNode.values()) {
      const b = el.getBoundingClientRect(), x = b.left - a.left, y = b.top - a.top, along = x * dx + y * dy, off = Math.abs(x * dy) + Math.abs(y * dx);
      if (el !== from && along > 2 && along + 2 * off < least) { least = along + 2 * off; best = el; }
    }
    if (best) { best.focus(); bring(best); }
  }

  // -- how it is now
  function word(el, text) { const title = el.querySelector('title'); if (title && title.textContent !== text) title.textContent = text; }
  async function refresh() {
    try {
      const answer = await fetch(home.dataset.state, { headers: { 'X-Background': '1' } });
      if (!answer.ok) return;
      const now = await answer.json();
      document.getElementById('topo-summary').textContent = now.summary;
      document.getElementById('topo-changed').hidden = now.version === map.dataset.version;
      for (const [name, [state, said, , part]] of Object.entries(now.nodes)) {
        const el = byNode.get(name);
        if (!el) continue;
        el.classList.remove(...STATES, 'is-root', 'is-hit');
        el.classList.add(state);
        if (part) el.classList.add(`is-${part}`);
        el.querySelector('.mark use').setAttribute('href', `${map.dataset.icons}#${ICON[state]}`);
        el.setAttribute('aria-label', `${el.dataset.name} ${said}`);
        word(el, `${el.dataset.name} ${said}`);
      }
      for (const [name, [state, said, load, weight]] of Object.entries(now.links)) {
        const el = byLink.get(name);
        if (!el) continue;
        el.classList.remove('up', 'down', 'reserve', 'unknown', 'w0', 'w1', 'w2');
        el.classList.add(state, weight);
        if (state === 'down' && el !== el.parentNode.lastElementChild) el.parentNode.append(el); // on top of what shares its way
        el.querySelector('.load').textContent = weight === 'w0' ? '' : load;
        const title = el.querySelector('title').textContent;
        word(el, `${title.slice(0, Math.max(title.lastIndexOf('\uff1a'), title.lastIndexOf(': ')))}: ${said} ${load}`);
      }
    } catch { /* the server is away: the page says so */ }
  }
  let waiting;
  document.body.addEventListener('zs:change', (e) => { if (!e.detail?.again) waiting ??= setTimeout(() => { waiting = undefined; refresh(); }, 3000); });
  setInterval(() => { if (!document.hidden) refresh(); }, 30000);
  const asked = new URLSearchParams(location.search).get('sel');
  if (asked && byNode.has(asked)) { bring(byNode.get(asked)); lines.get(asked)?.forEach((line) => line.classList.add('near')); }
});
