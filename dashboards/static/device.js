// The interface drawer: the opened row stays marked, Escape closes it, the address keeps it.
'use strict';
addEventListener('DOMContentLoaded', () => {
  const panel = () => document.getElementById('port-panel');
  if (!panel()) return;
  const opened = () => new URLSearchParams(location.search).get('port');
  function mark() {
    for (const link of document.querySelectorAll('[data-port]')) {
      const row = link.closest('tr');
      if (link.dataset.port === opened()) row.setAttribute('aria-selected', 'true'); else row.removeAttribute('aria-selected');
    }
  }
  function close() {
    const address = new URL(location.href), was = opened();
    address.searchParams.delete('port');
    history.pushState({}, '', address);
    panel().hidden = true;
    panel().replaceChildren();
    mark();
    document.getElementById(`port-${was}`)?.focus({ preventScroll: true });
  }
  addEventListener('click', (event) => {
    if (!event.target.closest('[data-close-port]')) return;
    event.preventDefault();
    close();
  });
  addEventListener('keydown', (event) => { if (event.key === 'Escape' && !panel().hidden) close(); });
  // What refreshes itself must ask for what the address says now, not for what it said when the page came.
  document.addEventListener('htmx:configRequest', (event) => { if (event.target.id === 'state') event.detail.path = location.pathname + location.search; });
  document.addEventListener('htmx:afterSettle', mark);
  document.addEventListener('htmx:pushedIntoHistory', mark);
  addEventListener('popstate', () => location.reload());
});
