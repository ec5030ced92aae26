// Keyboard first: j/k move, Enter opens, x selects, a n t e s act on what is selected or else on the open alert.
'use strict';
addEventListener('DOMContentLoaded', () => {
  const list = document.getElementById('groups'), dialog = document.getElementById('act-dialog');
  const bulk = document.getElementById('bulk'), count = document.getElementById('bulk-count');
  const rows = () => [...list.querySelectorAll('.grp')];
  let current = Number(document.querySelector('[data-alert]')?.dataset.alert || 0), cursor = current;
  const ticked = new Set();
  function mark() {
    for (const row of rows()) {
      const id = Number(row.dataset.id);
      row.toggleAttribute('data-cursor', id === cursor);
      if (id === current) row.setAttribute('aria-selected', 'true'); else row.removeAttribute('aria-selected');
      row.querySelector('.tickbox').checked = ticked.has(id);
    }
    bulk.hidden = ticked.size === 0;
    count.textContent = count.dataset.word.replace('{n}', ticked.size);
  }
  function move(step) {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((r) => Number(r.dataset.id) === cursor);
    const row = all[Math.min(all.length - 1, Math.max(0, at + step))];
    cursor = Number(row.dataset.id);
    row.scrollIntoView({ block: 'nearest' });
    mark();
  }
  function act(name) {
    if (name === 'clear') { ticked.clear(); return mark(); }
    const ids = ticked.size ? [...ticked] : current ? [current] : [];
    if (!dialog || !ids.length) return;
    const title = document.getElementById('act-title');
    document.getElementById('act-name').value = name;
    title.textContent = title.dataset[name] + (ids.length > 1 ? ` × ${ids.length}` : '');
    for (const el of dialog.querySelectorAll('[data-for]')) el.hidden = el.dataset.for !== name;
    document.getElementById('act-ids').replaceChildren(...ids.map((id) => Object.assign(document.createElement('input'), { type: 'hidden', name: 'id', value: id })));
    document.getElementById('f-note').value = '';
    dialog.showModal();
    document.getElementById('f-note').focus();
  }
  list.addEventListener('click', (event) => {
    const box = event.target.closest('.tickbox');
    if (!box) return;
    // A tick must not also open the alert it sits in.
    event.preventDefault();
    event.stopPropagation();
    const id = Number(box.value);
    setTimeout(() => { if (ticked.has(id)) ticked.delete(id); else ticked.add(id); mark(); });
  }, true);
  document.addEventListener('click', (event) => {
    const name = event.target.closest('[data-act]')?.dataset.act;
    if (name) act(name);
  });
  document.addEventListener('htmx:afterSettle', () => {
    const shown = Number(document.querySelector('[data-alert]')?.dataset.alert || 0);
    if (shown !== current) { current = shown; cursor = shown; }
    mark();
  });
  document.addEventListener('htmx:afterRequest', (event) => {
    // Not `.id`: the form has fields named id, which hide it.
    if (event.target.getAttribute?.('id') === 'acts' && event.detail.successful) { dialog.close(); ticked.clear(); mark(); }
  });
  addEventListener('keydown', (event) => {
    if (event.target.closest('input:not(.tickbox), textarea, select, dialog[open]') || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = { a: 'ack', n: 'note', t: 'assign', e: 'escalate', s: 'silence' };
    if (event.key === 'j') move(1);
    else if (event.key === 'k') move(-1);
    else if (event.key === 'Enter' && cursor && event.target === document.body) document.getElementById(`a${cursor}`)?.click();
    else if (event.key === 'x' && cursor) { if (ticked.has(cursor)) ticked.delete(cursor); else ticked.add(cursor); mark(); }
    else if (event.key === '?') document.getElementById('help').showModal();
    else if (acts[event.key]) { event.preventDefault(); act(acts[event.key]); }
  });
  mark();
});
