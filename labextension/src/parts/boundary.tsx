import React, { Component, type ReactNode } from 'react';

import { PanelContext, type IPanel } from '../context';

/** Says that a part cannot be drawn, and leaves all others as they are. */
export class Boundary extends Component<{ children: ReactNode }, { failed: boolean }> {
  static override contextType = PanelContext;

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override state = { failed: false };

  override render(): ReactNode {
    if (!this.state.failed) {
      return this.props.children;
    }
    const { trans } = this.context as IPanel;
    return (
      <div className="rexec-Section" role="alert">
        <div className="rexec-Section-body">
          <p>{trans.__('This part cannot be shown; please report it. All others go on.')}</p>
          <button
            type="button"
            className="rexec-Button"
            onClick={() => this.setState({ failed: false })}
          >
            {trans.__('Try again')}
          </button>
        </div>
      </div>
    );
  }
}
