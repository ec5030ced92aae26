// The proposals: tick all of a page, show the bulk actions while something is ticked, refresh while a scan finds more.
'use strict';
(() => {
  const scans = () => document.getElementById('scans');
  const ticks = () => [...document.querySelectorAll('#bulk input[name=id]')];
  let found = scans() && scans().dataset.found;
  function show() {
    const bulk = document.querySelector('[data-bulk]'), all = document.querySelector('#bulk [data-all]');
    if (!bulk || !all) return;
    const count = ticks().filter((tick) => tick.checked).length;
    bulk.hidden = !count;
    bulk.querySelector('[data-count]').textContent = count;
    all.checked = count > 0 && count === ticks().length;
    all.indeterminate = count > 0 && !all.checked;
  }
  document.addEventListener('change', (event) => {
    if (event.target.matches('#bulk [data-all]')) for (const tick of ticks()) tick.checked = event.target.checked;
    if (event.target.closest('#bulk')) show();
  });
  document.addEventListener('htmx:afterSwap', () => {
    // What somebody has ticked must not vanish under the pointer.
    if (!scans() || scans().dataset.found === found || ticks().some((tick) => tick.checked)) return;
    found = scans().dataset.found;
    document.body.dispatchEvent(new CustomEvent('zs:found'));
  });
  show();
})();
