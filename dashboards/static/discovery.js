// Ticks of the proposals: tick all of a page, show the bulk actions while something is ticked.
'use strict';
(() => {
  const form = document.getElementById('bulk'), bulk = form && form.querySelector('[data-bulk]');
  if (!bulk) return;
  const all = form.querySelector('[data-all]'), ticks = [...form.querySelectorAll('input[name=id]')];
  function show() {
    const count = ticks.filter((tick) => tick.checked).length;
    bulk.hidden = !count;
    bulk.querySelector('[data-count]').textContent = count;
    all.checked = count > 0 && count === ticks.length;
    all.indeterminate = count > 0 && count < ticks.length;
  }
  all.addEventListener('change', () => { for (const tick of ticks) tick.checked = all.checked; show(); });
  form.addEventListener('change', show);
  show();
})();
