// The live stream: tells fragments to refresh (`zs:change` on body) and says so when the page is out of date.
'use strict';
(() => {
  const body = document.body, label = document.getElementById('live');
  if (!label || !body.dataset.live) return;
  const STALE = 15000, POLL = 5000, word = label.querySelector('b'), age = document.getElementById('live-age');
  let last = Date.now(), source, poll, token;
  function fresh(ms, changed) {
    last = Date.now();
    window.zhishou.sync(ms);
    show();
    if (changed) body.dispatchEvent(new CustomEvent('zs:change'));
  }
  function show() {
    const quiet = Date.now() - last, stale = quiet > STALE;
    label.classList.toggle('stale', stale);
    body.classList.toggle('out-of-date', stale);
    word.textContent = stale ? label.dataset.stale : label.dataset.fresh;
    age.textContent = stale ? window.zhishou.words(quiet / 1000) : '';
  }
  async function ask() {
    try {
      const answer = await fetch(body.dataset.poll, { headers: { 'X-Background': '1' } });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) return;
      const seen = await answer.json();
      fresh(seen.now, token !== undefined && token !== seen.token);
      token = seen.token;
    } catch { /* the server is away: show() says so */ }
  }
  function connect() {
    source = new EventSource(body.dataset.live);
    source.addEventListener('beat', (e) => fresh(Number(e.data), false));
    source.addEventListener('change', (e) => fresh(Number(e.data), true));
    source.onopen = () => { clearInterval(poll); poll = undefined; };
    // CLOSED means the server refused the stream (all taken, or signed out): poll, and try the stream again later.
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED && !poll) { ask(); poll = setInterval(ask, POLL); setTimeout(connect, 60000); }
    };
  }
  // A fragment drops the changes within its throttle, so each is told again when the short and the long ones are over.
  const OVER = [1100, 5100], again = {};
  body.addEventListener('zs:change', (e) => {
    if (e.detail?.again) return;
    for (const after of OVER) {
      clearTimeout(again[after]);
      again[after] = setTimeout(() => body.dispatchEvent(new CustomEvent('zs:change', { detail: { again: true } })), after);
    }
  });
  connect();
  setInterval(show, 1000);
  // What was missed while hidden or asleep is fetched on return.
  document.addEventListener('visibilitychange', () => { if (!document.hidden) ask(); });
  addEventListener('pagehide', () => source.close());
})();
