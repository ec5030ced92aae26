// Theme before first paint (this script is not deferred), ticking times, and what is common to all pages.
'use strict';
(() => {
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search).get('theme');
  const wanted = asked === 'dark' || asked === 'light' ? asked : localStorage.getItem('theme');
  if (wanted === 'dark' || wanted === 'light') root.dataset.theme = wanted;
  else if (matchMedia('(prefers-color-scheme: dark)').matches) root.dataset.theme = 'dark';
  const english = root.lang === 'en';
  const pad = (n) => String(n).padStart(2, '0');
  function words(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    const [d, h, m] = [Math.floor(s / 86400), Math.floor(s % 86400 / 3600), Math.floor(s % 3600 / 60)];
    if (s < 60) return english ? `${s} s` : `${s} 秒`;
    if (s < 3600) return english ? `${m} m ${pad(s % 60)} s` : `${m} 分 ${pad(s % 60)} 秒`;
    if (s < 86400) return english ? `${h} h ${pad(m)} m` : `${h} 时 ${pad(m)} 分`;
    return english ? `${d} d ${h} h` : `${d} 天 ${h} 时`;
  }
  // The server's clock, not the browser's: an operator's PC may be minutes off.
  let offset = 0;
  window.zhishou = { words, now: () => Date.now() + offset, sync: (ms) => { offset = ms - Date.now(); } };
  function tick() {
    const now = window.zhishou.now();
    for (const el of document.querySelectorAll('[data-since]')) {
      const text = words((now - Number(el.dataset.since)) / 1000);
      if (el.textContent !== text) el.textContent = text;
    }
    for (const el of document.querySelectorAll('[data-until]')) {
      const text = words((Number(el.dataset.until) - now) / 1000);
      if (el.textContent !== text) el.textContent = text;
    }
  }
  addEventListener('DOMContentLoaded', () => {
    if (document.body.dataset.now) window.zhishou.sync(Number(document.body.dataset.now));
    setInterval(tick, 1000);
  });
  addEventListener('click', (event) => {
    const action = event.target.closest('[data-action]')?.dataset.action;
    if (action === 'theme') {
      root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
      localStorage.setItem('theme', root.dataset.theme);
      dispatchEvent(new Event('themechange'));
    } else if (action === 'close-toast') {
      event.target.closest('.toast').remove();
    } else if (action === 'close-dialog') {
      event.target.closest('dialog')?.close();
    } else if (action === 'open-dialog') {
      document.getElementById(event.target.closest('[data-dialog]').dataset.dialog)?.showModal();
    }
  });
  // Filter forms submit themselves; a search field waits for Enter.
  addEventListener('change', (event) => {
    if (event.target.matches('form[data-auto] select, form[data-auto] input[type=checkbox]')) event.target.form.requestSubmit();
  });
  addEventListener('submit', (event) => {
    // Empty fields would only make the address long.
    if (event.target.matches('form[data-auto]')) for (const el of event.target.elements) if (el.name && !el.value) el.disabled = true;
  });
  addEventListener('keydown', (event) => {
    if (event.key === '/' && !event.target.closest('input, textarea, select, dialog') && !event.ctrlKey && !event.metaKey) {
      const find = document.getElementById('desk-find') || document.getElementById('find');
      if (find) { event.preventDefault(); find.focus(); find.select(); }
    }
  });
})();
